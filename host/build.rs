//! `sqlx::migrate!` embeds the migrations; without this a new file would not be seen.
fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
