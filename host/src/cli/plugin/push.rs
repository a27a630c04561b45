use std::path::PathBuf;

use clap::Args;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value as Json, json};

use super::{
    super::{CliError, output},
    component_of, parse_config, parse_object, read,
    report::{dry_runs, listed},
};
use crate::{auth, service::PluginConfig};

/// Upload a plugin, as an admin of the org.
#[derive(Args)]
pub(in crate::cli) struct PushArgs {
    /// A `.wasm`, or the folder of a plugin that is built
    #[arg(default_value = ".")]
    plugin: PathBuf,
    /// The name that it has in the org; left out, that of the file
    #[arg(long)]
    name: Option<String>,
    /// Where the server listens
    #[arg(long, env = "DUOLOGUE_URL", default_value = "http://127.0.0.1:4000")]
    url: String,
    /// The org's public name
    #[arg(long, env = "DUOLOGUE_ORG")]
    org: String,
    /// An admin's token
    #[arg(long, env = "DUOLOGUE_TOKEN", hide_env_values = true)]
    token: String,
    /// Replace its configuration: a JSON object of texts, or `@FILE` that holds one
    ///
    /// With `--activate` it counts from the same message on as the version, which is asked about
    /// it; without, the active version is.
    #[arg(long, value_name = "JSON", value_parser = parse_config)]
    configure: Option<PluginConfig>,
    /// Grant what it imports: a JSON object such as `{"kv": {}}`, or `@FILE`
    #[arg(long, value_name = "JSON", value_parser = parse_object)]
    grants: Option<Json>,
    /// Let this version decide from the next message on
    #[arg(long)]
    activate: bool,
    /// Print the server's last answer as JSON, for a script
    #[arg(long)]
    json: bool,
}

/// The most of an answer that is read.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// One plugin of one org on a server.
struct Door {
    client: Client,
    url: String,
    org: String,
    token: String,
}

pub(super) async fn run(args: PushArgs) -> Result<(), CliError> {
    let path = component_of(&args.plugin)?;
    let stem = || path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = args.name.or_else(stem).unwrap_or_default();
    let url = format!("{}/admin/plugins/{name}", args.url.trim_end_matches('/'));
    let client = auth::client().build().map_err(|error| CliError::Usage(error.to_string()))?;
    let door = Door { client, url, org: args.org, token: args.token };
    let mut answer = door.ask(Method::PUT, "", Body::Component(read(&path)?)).await?;
    let version = answer["version"].as_str().unwrap_or_default().to_owned();
    if !args.json {
        output::text(&uploaded(&name, &version, &answer))?;
    }
    let mut done = Vec::new();
    if let Some(grants) = args.grants {
        answer =
            door.ask(Method::PUT, "/grants", Body::Json(grants)).await.map_err(stays(&done))?;
        done.push("the grants are set");
    }
    let is_configured = args.configure.is_some();
    if args.activate {
        let mut chosen = json!({ "version": version });
        if let Some(config) = args.configure {
            chosen["config"] = json!(config);
        }
        let activated = door.ask(Method::POST, "/activate", Body::Json(chosen)).await;
        answer = activated.map_err(stays(&done))?;
    } else if let Some(config) = args.configure {
        let set = door.ask(Method::PUT, "/config", Body::Json(json!(config))).await;
        answer = set.map_err(stays(&done))?;
    }
    if args.json {
        return output::json(&answer);
    }
    let active = answer["activeVersion"].as_str();
    let configured = match (is_configured, active) {
        (false, _) => "",
        (true, None) => "configuration: set\n",
        (true, Some(_)) => "configuration: set (the active version reads it from now on)\n",
    };
    output::text(&format!("{configured}active version: {}\n", active.unwrap_or("none")))
}

/// What the server found in it.
fn uploaded(name: &str, version: &str, answer: &Json) -> String {
    let versions = answer["versions"].as_array().map_or(&[][..], Vec::as_slice);
    let newest = versions.iter().find(|entry| entry["version"] == *version);
    let had_config = answer["config"].as_object().is_some_and(|config| !config.is_empty());
    format!(
        "{name} {version} is uploaded.\nhooks: {hooks}\nimports: {imports}\n{dry_runs}",
        hooks = listed(&answer["hooks"]),
        imports = listed(&answer["imports"]),
        dry_runs = newest.map(|it| dry_runs(&it["report"], had_config)).unwrap_or_default(),
    )
}

/// Says beside a refusal what was done before it and stays.
fn stays(done: &[&str]) -> impl Fn(CliError) -> CliError {
    let kept = [&["The version stays uploaded"], done].concat().join(", ");
    move |refusal| {
        CliError::Usage(format!(
            "{refusal}\n{kept}; what is active and its configuration are as before."
        ))
    }
}

enum Body {
    Component(Vec<u8>),
    Json(Json),
}

impl Door {
    async fn ask(&self, method: Method, path: &str, body: Body) -> Result<Json, CliError> {
        let request = self
            .client
            .request(method, format!("{}{path}", self.url))
            .header("orgid", &self.org)
            .bearer_auth(&self.token);
        let request = match body {
            Body::Component(bytes) => {
                request.header("content-type", "application/wasm").body(bytes)
            }
            Body::Json(json) => {
                request.header("content-type", "application/json").body(json.to_string())
            }
        };
        let failed = |error: reqwest::Error| {
            CliError::Usage(format!("{} does not answer: {error}", self.url))
        };
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let read = auth::read_body(response, MAX_ANSWER_BYTES).await;
        let bytes = read.map_err(|error| CliError::Usage(format!("{}: {error}", self.url)))?;
        let answer: Json = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() { Ok(answer) } else { Err(refusal(status, &answer)) }
    }
}

/// As the server says it.
fn refusal(status: StatusCode, answer: &Json) -> CliError {
    let detail = answer["detail"].as_str().or(answer["title"].as_str());
    CliError::Usage(format!("the server answered {status}: {}", detail.unwrap_or("no more")))
}
