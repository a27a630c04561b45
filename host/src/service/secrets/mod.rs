//! Values that plugins can spend but not read: kept sealed, opened for one request.

mod sealing;

use std::{borrow::Cow, path::PathBuf, sync::Arc};

use time::OffsetDateTime;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::plugins::PLUGIN;
use crate::{
    Error, Result,
    db::{
        Db, OrgTx, plugins,
        secrets::{self, SealedRow, SecretRow},
    },
    domain::{Caller, HostPattern, Installed, InvalidField, OrgId, PluginId, Secret},
};
use sealing::{KeyRing, Sealed, SealingKey};

/// Where the server's keys come from, the first that is set; and what a secret may be. Of several
/// keys the first one seals, and all of them open.
#[derive(Clone, Debug)]
pub struct SecretSettings {
    /// The keys themselves, in base64.
    pub key: Option<Zeroizing<String>>,
    pub key_file: Option<PathBuf>,
    /// A file of our own, made when a secret is first set.
    pub kept_in: Option<PathBuf>,
    pub max_value_bytes: usize,
    pub max_per_plugin: u32,
}

/// A secret as an admin sees it: never its value.
pub struct SecretEntry {
    pub name: String,
    pub hosts: Vec<String>,
    pub created_at: OffsetDateTime,
}

/// A secret as an admin sets it.
pub struct NewSecret {
    pub value: Zeroizing<String>,
    pub hosts: Vec<String>,
}

#[derive(Clone)]
pub struct Secrets {
    db: Db,
    settings: Arc<SecretSettings>,
    keys: Arc<OnceCell<KeyRing>>,
}

impl Secrets {
    const MAX_HOSTS: usize = 20;

    /// # Errors
    /// [`Error::Invalid`] where a key was given that is none.
    pub fn new(db: Db, settings: SecretSettings) -> Result<Self> {
        let keys = match (&settings.key, &settings.key_file) {
            (Some(text), _) => Some(parse_keys("DUOLOGUE_SECRETS_KEY", text)?),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| {
                    let path = path.display();
                    Error::invalid("secrets.key_file", format!("cannot be read: {path}: {error}"))
                })?;
                Some(parse_keys("secrets.key_file", &text)?)
            }
            (None, None) => None,
        };
        Ok(Self { db, settings: Arc::new(settings), keys: Arc::new(OnceCell::new_with(keys)) })
    }

    /// Keeps a secret under a name, in place of the one there was; whether there was none.
    pub async fn set(
        &self,
        caller: &Caller,
        plugin: &str,
        name: &str,
        new: &NewSecret,
    ) -> Result<(SecretEntry, bool)> {
        let name = parse_name(name)?;
        let hosts = self.check(new)?;
        let keys = self.make_keys().await?;
        let (mut tx, plugin) = self.begin(caller, plugin).await?;
        let sealed = seal(keys.current(), plugin, (name, hosts), &new.value)?;
        let (created_at, is_new) =
            secrets::upsert(&mut tx.conn(), plugin.plugin_id, name, &sealed).await?;
        let most = self.settings.max_per_plugin;
        if is_new && self.count(&mut tx, plugin.plugin_id).await? > most as usize {
            return Err(Error::Conflict(format!("a plugin may have at most {most} secrets")));
        }
        tx.commit().await?;
        let entry = SecretEntry { name: name.to_owned(), hosts: sealed.hosts, created_at };
        Ok((entry, is_new))
    }

    pub async fn list(&self, caller: &Caller, plugin: &str) -> Result<Vec<SecretEntry>> {
        let (mut tx, plugin) = self.begin(caller, plugin).await?;
        let rows = secrets::list(&mut tx.conn(), plugin.plugin_id).await?;
        Ok(rows.into_iter().map(SecretEntry::from).collect())
    }

    pub async fn remove(&self, caller: &Caller, plugin: &str, name: &str) -> Result<()> {
        let (mut tx, plugin) = self.begin(caller, plugin).await?;
        if !secrets::delete(&mut tx.conn(), plugin.plugin_id, name).await? {
            return Err(Error::NotFound(Cow::Borrowed("the secret")));
        }
        Ok(tx.commit().await?)
    }

    /// Opens a secret of a plugin, for its requests to spend.
    ///
    /// # Errors
    /// [`Error::Internal`] where it was sealed under another key than this server's.
    pub async fn open(&self, plugin: Installed, name: &str) -> Result<Option<Arc<Secret>>> {
        let mut handle = self.db.org_for_plugin(plugin.org_id).await?;
        let found = secrets::find(&mut handle.conn(), plugin.plugin_id, name).await?;
        handle.done();
        let Some((plugin_id, row)) = found else { return Ok(None) };
        let owner = Installed { plugin_id, ..plugin };
        let hosts = row.hosts.iter().map(|host| HostPattern::parse(host));
        let hosts = hosts.collect::<Result<_, _>>().map_err(Error::internal)?;
        let value = unseal(self.load_keys().await?, owner, name, row)?;
        Ok(Some(Arc::new(Secret { value, hosts })))
    }

    /// Seals what an org's plugins have under a former key under the current one, so that the
    /// former one can go.
    pub async fn renew(&self, org_id: OrgId) -> Result<()> {
        let mut handle = self.db.org(org_id).await?;
        if !secrets::is_any(&mut handle.conn()).await? {
            return Ok(());
        }
        let keys = self.load_keys().await?;
        let former = secrets::list_former(&mut handle.conn(), keys.current().id()).await?;
        let (mut renewed, mut lost) = (0, 0);
        for (plugin_id, name, row) in former {
            let owner = Installed { org_id, plugin_id };
            let (hosts, key_id, nonce) = (row.hosts.clone(), row.key_id.clone(), row.nonce.clone());
            let Ok(value) = unseal(keys, owner, &name, row) else {
                lost += 1;
                tracing::warn!(org.id = %org_id, plugin.id = %plugin_id, secret.name = name, key.id = key_id, "a secret cannot be opened with the keys of this server");
                continue;
            };
            let sealed = seal(keys.current(), owner, (&name, hosts), &value)?;
            renewed +=
                secrets::replace(&mut handle.conn(), plugin_id, &name, &nonce, &sealed).await?;
        }
        if renewed > 0 {
            tracing::info!(org.id = %org_id, renewed, lost, "secrets were sealed under the current key");
        }
        Ok(())
    }

    /// The hosts, as they are stored and sealed.
    fn check(&self, new: &NewSecret) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        let most = self.settings.max_value_bytes;
        let plain = new.value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !(1..=most).contains(&new.value.len()) || !plain || new.value.trim() != *new.value {
            let message = format!(
                "must be 1 to {most} plain ASCII characters, without a line end or blanks around"
            );
            faults.push(InvalidField::new("value", message));
        }
        if !(1..=Self::MAX_HOSTS).contains(&new.hosts.len()) {
            faults.push(InvalidField::new("hosts", "must name 1 to 20 hosts"));
        }
        let mut hosts = Vec::with_capacity(new.hosts.len());
        for host in &new.hosts {
            match HostPattern::parse(host) {
                Ok(host) => hosts.push(host.to_string()),
                Err(error) => faults.push(InvalidField::new("hosts", error.to_string())),
            }
        }
        if faults.is_empty() { Ok(hosts) } else { Err(Error::Invalid(faults)) }
    }

    /// The key to seal with, made where the server keeps its own.
    async fn make_keys(&self) -> Result<&KeyRing> {
        if let (None, Some(path)) = (self.keys.get(), &self.settings.kept_in) {
            let path = path.clone();
            tokio::task::spawn_blocking(move || sealing::make_key_file(&path))
                .await
                .map_err(Error::internal)?
                .map_err(Error::internal)?;
        }
        self.load_keys().await
    }

    async fn load_keys(&self) -> Result<&KeyRing> {
        let read = async || {
            let Some(path) = &self.settings.kept_in else {
                return Err(Error::Conflict(
                    "this server has no key to keep secrets under: its operator must set \
                     DUOLOGUE_SECRETS_KEY, or secrets.key_file, to what `openssl rand -base64 32` \
                     prints"
                        .into(),
                ));
            };
            let text = tokio::fs::read_to_string(path).await.map(Zeroizing::new);
            let text = text.map_err(|error| {
                Error::internal(format!("the key of the secrets, {}: {error}", path.display()))
            })?;
            KeyRing::parse(&text)
                .map_err(|error| Error::internal(format!("{}: {error}", path.display())))
        };
        self.keys.get_or_try_init(read).await
    }

    async fn count(&self, tx: &mut OrgTx, plugin_id: PluginId) -> Result<usize> {
        Ok(secrets::list(&mut tx.conn(), plugin_id).await?.len())
    }

    async fn begin(&self, caller: &Caller, plugin: &str) -> Result<(OrgTx, Installed)> {
        let org_id = caller.org.id;
        let mut tx = self.db.begin(org_id).await?;
        let plugin_id = plugins::lock_id(&mut tx.conn(), plugin).await?.ok_or(PLUGIN)?;
        Ok((tx, Installed { org_id, plugin_id }))
    }
}

impl From<SecretRow> for SecretEntry {
    fn from(row: SecretRow) -> Self {
        Self { name: row.name, hosts: row.hosts, created_at: row.created_at }
    }
}

fn seal(
    key: &SealingKey,
    owner: Installed,
    (name, hosts): (&str, Vec<String>),
    value: &str,
) -> Result<SealedRow> {
    let context = context(owner, name, &hosts);
    let Sealed { ciphertext, nonce } = key.seal(value, &context).map_err(Error::internal)?;
    Ok(SealedRow { hosts, ciphertext, nonce, key_id: key.id().to_owned() })
}

fn unseal(
    keys: &KeyRing,
    owner: Installed,
    name: &str,
    row: SealedRow,
) -> Result<Zeroizing<String>> {
    let key = keys.find(&row.key_id).ok_or_else(|| {
        Error::internal("a secret is sealed under another key than this server's")
    })?;
    let context = context(owner, name, &row.hosts);
    let sealed = Sealed { ciphertext: row.ciphertext, nonce: row.nonce };
    key.open(sealed, &context)
        .ok_or_else(|| Error::internal("a secret's row was altered: it cannot be opened"))
}

fn parse_keys(field: &str, text: &str) -> Result<KeyRing> {
    KeyRing::parse(text).map_err(|error| Error::invalid(field, error.to_string()))
}

/// 1 to 64 characters of `a-z 0-9 _ . -`, starting with a letter.
fn parse_name(name: &str) -> Result<&str, InvalidField> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-".contains(c);
    let valid = name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(plain);
    valid.then_some(name).ok_or_else(|| {
        InvalidField::new(
            "secret",
            "must be named by 1 to 64 characters of a-z 0-9 _ . - and start with a letter",
        )
    })
}

/// What a sealed value belongs to: a row that is moved to another plugin, or whose hosts are
/// changed, does not open.
fn context(plugin: Installed, name: &str, hosts: &[String]) -> Vec<u8> {
    let mut context = Vec::new();
    context.extend_from_slice(plugin.org_id.as_uuid().as_bytes());
    context.extend_from_slice(plugin.plugin_id.as_uuid().as_bytes());
    for text in std::iter::once(name).chain(hosts.iter().map(String::as_str)) {
        // No name and no host has a NUL.
        context.extend_from_slice(text.as_bytes());
        context.push(0);
    }
    context
}
