//! The pod of a process, from what the kubelet put around it: environment, cgroup, mounts, and the
//! service account's files. No API server is asked.

use std::path::Path;

use super::{Facts, cgroup, files};

/// Longest name of Kubernetes (RFC 1123 subdomain), in bytes.
const LONGEST_NAME: u64 = 253;

/// What is known of a pod, as `k8s.*` attributes have it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pod {
    pub uid: Option<String>,
    pub name: Option<String>,
    pub namespace: Option<String>,
    pub container: Option<String>,
    pub node: Option<String>,
}

/// The pod that a process is in, on a host of that name.
pub fn pod(facts: &Facts, host: Option<&str>) -> Option<Pod> {
    let uid = facts.cgroups.iter().find_map(|path| cgroup::pod_uid(path));
    let mounted = facts.mounts.iter().find_map(|root| mounted(root));
    let service = facts.variable("KUBERNETES_SERVICE_HOST");
    if uid.is_none() && mounted.is_none() && service.is_none() {
        return None;
    }
    // What manifests call what the downward API tells.
    let first = |names: &[&str]| names.iter().find_map(|name| facts.variable(name));
    // A pod has its own host name, unless it shares the node's network.
    let own_host = || {
        facts
            .variable("HOSTNAME")
            .filter(|name| Some(name.as_str()) != host)
    };
    let (of_mount, container) = mounted.unzip();
    Some(Pod {
        uid: uid.or(of_mount),
        name: first(&["K8S_POD_NAME", "POD_NAME", "MY_POD_NAME"]).or_else(own_host),
        namespace: first(&["K8S_NAMESPACE_NAME", "POD_NAMESPACE", "MY_POD_NAMESPACE"])
            .or_else(|| namespace(facts.pid)),
        container: container.or_else(|| first(&["K8S_CONTAINER_NAME"])),
        node: first(&["K8S_NODE_NAME", "NODE_NAME", "MY_NODE_NAME"]),
    })
}

impl Pod {
    /// What the pod is one of: the workload's name, else the container's.
    pub fn service(&self) -> Option<&str> {
        let name = self.name.as_deref().map(workload);
        name.or(self.container.as_deref())
    }
}

/// Pod and container of `.../pods/UID/containers/NAME/...`, which the kubelet mounts into it for its
/// last words.
fn mounted(root: &str) -> Option<(String, String)> {
    let (_, rest) = root.split_once("/pods/")?;
    let mut parts = rest.split('/');
    let (uid, folder, name) = (parts.next()?, parts.next()?, parts.next()?);
    let uid = uuid::Uuid::parse_str(uid).ok()?;
    (folder == "containers" && !name.is_empty()).then(|| (uid.to_string(), name.to_owned()))
}

fn namespace(pid: u32) -> Option<String> {
    let path = Path::new("/var/run/secrets/kubernetes.io/serviceaccount/namespace");
    let text = files::text(files::open(pid, path)?, LONGEST_NAME)?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}

/// A pod's name without what its controllers append: `checkout` of a Deployment's
/// `checkout-5d78c9869d-x2v9k`, a DaemonSet's or Job's `checkout-x2v9k`, a StatefulSet's `checkout-0`.
fn workload(pod: &str) -> &str {
    let Some((rest, last)) = pod.rsplit_once('-') else {
        return pod;
    };
    if last.bytes().all(|b| b.is_ascii_digit()) && !last.is_empty() {
        return rest;
    }
    if last.len() != 5 || !is_generated(last) {
        return pod;
    }
    match rest.rsplit_once('-') {
        // A ReplicaSet is named by a hash of its template.
        Some((name, hash)) if (6..=10).contains(&hash.len()) && is_generated(hash) => name,
        _ => rest,
    }
}

/// Kubernetes leaves out what could form words, and what looks alike (apimachinery, `rand`).
fn is_generated(text: &str) -> bool {
    text.bytes()
        .all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";

    fn facts(environment: &[(&str, &str)]) -> Facts {
        let pairs = environment
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        Facts {
            // No process: there is no file of a service account.
            pid: u32::MAX,
            environment: pairs.collect(),
            ..Facts::default()
        }
    }

    #[test]
    fn workloads_by_their_pods() {
        for (pod, name) in [
            ("checkout-5d78c9869d-x2v9k", "checkout"),
            ("shop-api-7f9c4-bb8xz", "shop-api-7f9c4"),
            ("node-agent-x2v9k", "node-agent"),
            ("kafka-0", "kafka"),
            ("backup-28512345-x2v9k", "backup-28512345"),
            ("plain", "plain"),
            ("my-pod-alone", "my-pod-alone"),
            ("static-pod-node-7", "static-pod-node"),
            ("x-", "x-"),
        ] {
            assert_eq!(workload(pod), name, "{pod}");
        }
    }

    #[test]
    fn a_pod_by_its_mounts_and_environment() {
        let mut facts = facts(&[
            ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
            ("HOSTNAME", "checkout-5d78c9869d-x2v9k"),
            ("POD_NAMESPACE", "shop"),
            ("NODE_NAME", "node-7"),
        ]);
        let root = format!("/var/lib/kubelet/pods/{UID}/containers/app/3f2a1b9c");
        facts.mounts = vec![
            "/".into(),
            format!("/var/lib/kubelet/pods/{UID}/etc-hosts"),
            root,
        ];
        let pod = pod(&facts, Some("node-7")).unwrap();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            pod,
            Pod {
                uid: text(UID),
                name: text("checkout-5d78c9869d-x2v9k"),
                namespace: text("shop"),
                container: text("app"),
                node: text("node-7"),
            }
        );
        assert_eq!(pod.service(), Some("checkout"));
    }

    #[test]
    fn the_nodes_name_is_no_pods() {
        let mut shared = facts(&[("HOSTNAME", "node-7")]);
        assert_eq!(pod(&shared, Some("node-7")), None, "nothing says so");
        shared.cgroups = vec![format!("/kubepods/pod{UID}/x")];
        let found = pod(&shared, Some("node-7")).unwrap();
        assert_eq!(
            (found.uid.as_deref(), found.name.as_deref()),
            (Some(UID), None)
        );
        assert_eq!(found.service(), None);
        let mut told = facts(&[("HOSTNAME", "node-7"), ("POD_NAME", "proxy-x2v9k")]);
        told.cgroups = shared.cgroups;
        let found = pod(&told, Some("node-7")).unwrap();
        assert_eq!(found.service(), Some("proxy"));
    }
}
