//! Parts of a server's report on a version, for people.

use std::fmt::Write;

use serde_json::Value as Json;

/// Names, one after another.
pub(super) fn listed(names: &Json) -> String {
    texts(names).collect::<Vec<_>>().join(", ")
}

/// How the calls of a dry run went: a line for each, and what there is to say of a failure.
pub(super) fn dry_runs(report: &Json, is_configured: bool) -> String {
    let mut shown = String::new();
    for run in report["dryRun"].as_array().map_or(&[][..], Vec::as_slice) {
        let text = |field: &str| run[field].as_str().unwrap_or_default();
        let word = match text("fault") {
            "" => text("verdict").to_owned(),
            fault => format!("no answer ({fault})"),
        };
        let _ = writeln!(
            shown,
            "dry run:   {}: {word}, {} µs, {} bytes",
            text("hook"),
            run["micros"],
            run["memoryBytes"],
        );
        if run["fault"].is_string() {
            let _ = writeln!(shown, "           {}", text("why"));
        }
        for line in texts(&run["log"]) {
            // A guest's words do not steer the terminal.
            let _ = writeln!(shown, "           log: {}", line.escape_debug());
        }
        shown.push_str(match text("fault") {
            "" => "",
            "declined" if !is_configured => {
                "           It was given no configuration; that stops nothing.\n"
            }
            _ => {
                "warning:   A server takes it all the same. A message that it gives no answer to \
                 meets onFault.\n"
            }
        });
    }
    shown
}

fn texts(list: &Json) -> impl Iterator<Item = &str> {
    list.as_array().map_or(&[][..], Vec::as_slice).iter().filter_map(Json::as_str)
}
