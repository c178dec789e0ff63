//! What a container is called, as the runtime that keeps it on this host has noted it.
//!
//! Docker and Podman are read, each the state of the system's own daemon or storage; no runtime is
//! asked, nothing is waited for. Pods' containers are [`super::kubernetes`]'s.

use std::fs::File;
use std::path::Path;

use serde_json::Value;

use super::files;

/// Longest state file that is read: one with thousands of settings is less.
const LONGEST: u64 = 4 << 20;

/// A container's name.
#[derive(Debug, PartialEq, Eq)]
pub struct Name {
    /// The runtime's.
    pub container: String,
    /// What it is in a compose file, which stays when it is scaled.
    pub service: Option<String>,
}

/// The name of a container, by the files below `root` (`/` on a host).
pub fn name(id: &str, root: &Path) -> Option<Name> {
    docker(id, root).or_else(|| podman(id, root))
}

fn docker(id: &str, root: &Path) -> Option<Name> {
    let state = read(&root.join(format!("var/lib/docker/containers/{id}/config.v2.json")))?;
    let container = state.get("Name")?.as_str()?.trim_start_matches('/');
    let service = state
        .pointer("/Config/Labels/com.docker.compose.service")
        .and_then(Value::as_str);
    Some(Name {
        container: container.to_owned(),
        service: service.map(str::to_owned),
    })
}

fn podman(id: &str, root: &Path) -> Option<Name> {
    let all = read(&root.join("var/lib/containers/storage/overlay-containers/containers.json"))?;
    let of_it = |one: &&Value| one.get("id").and_then(Value::as_str) == Some(id);
    let name = all.as_array()?.iter().find(of_it)?.pointer("/names/0")?;
    Some(Name {
        container: name.as_str()?.to_owned(),
        service: None,
    })
}

fn read(path: &Path) -> Option<Value> {
    serde_json::from_str(&files::text(File::open(path).ok()?, LONGEST)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_the_runtimes_own_files() {
        let host = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = host.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "var/lib/docker/containers/aa/config.v2.json",
            r#"{"ID":"aa","Name":"/shop-web-1","Config":{"Labels":{"com.docker.compose.service":"web"}}}"#,
        );
        write(
            "var/lib/docker/containers/bb/config.v2.json",
            r#"{"ID":"bb","Name":"/shop","Config":{"Labels":null}}"#,
        );
        write("var/lib/docker/containers/ee/config.v2.json", "{");
        write(
            "var/lib/containers/storage/overlay-containers/containers.json",
            r#"[{"id":"cc","names":["prices"]},{"id":"dd"}]"#,
        );
        let name = |id| name(id, host.path()).map(|name| (name.container, name.service));
        let both = ("shop-web-1".to_owned(), Some("web".to_owned()));
        assert_eq!(name("aa"), Some(both));
        assert_eq!(name("bb"), Some(("shop".to_owned(), None)));
        assert_eq!(name("cc"), Some(("prices".to_owned(), None)));
        for unknown in ["dd", "ee", "ff"] {
            assert_eq!(name(unknown), None);
        }
    }
}
