use std::path::{Path, PathBuf};

use clap::Args;

use super::{
    super::{CliError, output},
    template::{Language, WIT},
};
use crate::domain::parse_plugin_name;

#[derive(Args)]
pub(in crate::cli) struct NewArgs {
    /// 1 to 64 of `a-z 0-9 -`, beginning with a letter
    name: String,
    /// What it is written in
    #[arg(long, value_enum, default_value = "rust")]
    language: Language,
    /// Where to put it; left out, a folder of that name here
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

/// What the templates are called.
const TEMPLATE_NAME: &str = "my-plugin";

pub(super) fn run(args: &NewArgs) -> Result<(), CliError> {
    let name = parse_plugin_name(&args.name)
        .map_err(|error| CliError::Usage(format!("{}: a name {}", args.name, error.message)))?;
    let folder = args.path.clone().unwrap_or_else(|| PathBuf::from(name));
    let is_taken = folder.read_dir().map_or(folder.exists(), |mut held| held.next().is_some());
    if is_taken {
        let folder = folder.display();
        return Err(CliError::Usage(format!(
            "{folder} is there and not empty; name another place"
        )));
    }
    let wit = args.language.wit_folder();
    for file in args.language.files() {
        let text = file.text.replace(TEMPLATE_NAME, name).replace("`WIT`", &format!("`{wit}`"));
        write(&folder.join(file.path), &text)?;
    }
    for file in WIT {
        write(&folder.join(wit).join(file.path), file.text)?;
    }
    output::text(&format!(
        "{folder} is a plugin. Build it, test it, and read on in its README.md:\n\n  \
         duologue plugin build {folder}\n  duologue plugin test {folder}\n",
        folder = folder.display(),
    ))
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |error| CliError::File(path.to_owned(), error);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}
