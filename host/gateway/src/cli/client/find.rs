//! Which server a command speaks with: flags and environment, then `client.json` of the state folder, then the static
//! configuration; and, where none runs, the state folder itself.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pointsman_policy::config::SecretRef;
use secrecy::SecretString;
use serde::Deserialize;

use super::{Client, Unreachable};
use crate::cli::Place;
use crate::node::{Settings, secret};

/// What `cargo xtask up` leaves in the state folder.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ClientFile {
    pub(crate) control_url: Option<String>,
    pub(crate) engine_url: Option<String>,
    token: Option<String>,
    token_file: Option<PathBuf>,
}

impl ClientFile {
    /// The file of a state folder; none where it is not there or says nothing.
    pub(crate) fn read(state: &Path) -> Self {
        let text = std::fs::read(state.join("client.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn token(&self) -> anyhow::Result<Option<SecretString>> {
        if let Some(token) = &self.token {
            return Ok(Some(SecretString::from(token.clone())));
        }
        self.token_file.as_deref().map(token_in).transpose()
    }
}

fn token_in(path: &Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the admin token in {}", path.display()))?;
    Ok(SecretString::from(text.trim().to_owned()))
}

/// Where a server would be.
pub(crate) struct Found {
    pub(crate) client: Client,
    /// Who named it.
    pub(crate) by: &'static str,
}

/// The servers that may be meant, the likeliest first, unasked. One that was named outright is the only one.
pub(crate) fn candidates(place: &Place, settings: &Settings) -> anyhow::Result<Vec<Found>> {
    let file = ClientFile::read(&settings.state());
    let given = place.token.clone().map(SecretString::from);
    let token = |of_file: bool| -> anyhow::Result<Option<SecretString>> {
        if given.is_some() {
            return Ok(given.clone());
        }
        let told = if of_file { file.token()? } else { None };
        told.map_or_else(|| own_token(settings), |token| Ok(Some(token)))
    };
    if let Some(url) = &place.control {
        // A token of this machine is told to nobody else.
        let token = if is_local(url) || file.control_url.as_ref() == Some(url) {
            token(file.control_url.as_ref() == Some(url))?
        } else {
            given.clone()
        };
        return Ok(vec![Found {
            client: Client::new(url, token)?,
            by: "--control or POINTSMAN_CONTROL_URL",
        }]);
    }
    let mut found = Vec::new();
    if let Some(url) = &file.control_url {
        found.push(Found {
            client: Client::new(url, token(true)?)?,
            by: "client.json",
        });
    }
    let listen = &settings.config.control.listen;
    if !listen.ends_with(":0") {
        found.push(Found {
            client: Client::new(&format!("http://{listen}"), token(false)?)?,
            by: "control.listen",
        });
    }
    Ok(found)
}

/// The admin token of this node, where it is there; only a server makes one.
fn own_token(settings: &Settings) -> anyhow::Result<Option<SecretString>> {
    match &settings.config.control.token {
        Some(SecretRef::File(path)) if !Path::new(path).exists() => Ok(None),
        Some(reference) => Ok(Some(secret(reference, "control.token")?)),
        None => {
            let path = settings.state().join("admin-token");
            path.exists().then(|| token_in(&path)).transpose()
        }
    }
}

fn is_local(url: &str) -> bool {
    let host = url.split_once("://").map_or("", |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

/// The server that answers; none where none was named outright and none answers.
pub(crate) fn server(place: &Place, settings: &Settings) -> anyhow::Result<Option<Client>> {
    for Found { client, .. } in candidates(place, settings)? {
        match client.is_there() {
            Ok(()) => return Ok(Some(client)),
            Err(Unreachable::Refused { .. } | Unreachable::Stranger { .. })
                if place.control.is_none() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_this_machine_is_local() {
        for url in [
            "http://127.0.0.1:8081",
            "http://[::1]:8081/",
            "https://localhost",
            "http://127.9.9.9",
        ] {
            assert!(is_local(url), "{url}");
        }
        for url in [
            "http://10.0.0.1:8081",
            "https://localhost.example.com",
            "http://127.0.0.1.example.com:1",
            "https://user@127.0.0.1.evil",
            "http://",
        ] {
            assert!(!is_local(url), "{url}");
        }
    }
}
