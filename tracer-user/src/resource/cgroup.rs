//! What the path of a cgroup says of the processes in it: their container, pod, or systemd unit.
//!
//! Only names that a runtime gives in a known form are read; which runtime it was does not matter.

use uuid::Uuid;

/// Container runtimes name the cgroup by the container's id, 64 hex digits, with or without a
/// prefix and `.scope`.
pub fn container_id(path: &str) -> Option<&str> {
    let hex = |text: &&str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    path.rsplit(['/', '-', '_', '.', ':']).find(hex)
}

/// The kubelet names the cgroup `pod<uid>`, its dashes kept or (systemd) made underscores.
pub fn pod_uid(path: &str) -> Option<String> {
    let uid = |rest: &str| Uuid::parse_str(&rest.get(..36)?.replace('_', "-")).ok();
    let found = path
        .contains("kubepods")
        .then(|| path.split("pod").find_map(uid));
    found.flatten().map(|uid| uid.to_string())
}

/// Units whose processes are of others' making: what they start says itself what it is.
const STARTERS: [&str; 10] = [
    "atd",
    "containerd",
    "cri-o",
    "cron",
    "crond",
    "docker",
    "kubelet",
    "podman",
    "ssh",
    "sshd",
];

/// The systemd service that the processes are of, without its instance: `shop` of
/// `/system.slice/shop@1.service`. None in a session, or in a container that a service keeps.
pub fn unit(path: &str) -> Option<String> {
    if container_id(path).is_some() || path.contains("kubepods") {
        return None;
    }
    let is_unit = |part: &&str| part.ends_with(".service") || part.ends_with(".scope");
    let unit = path.rsplit('/').find(is_unit)?.strip_suffix(".service")?;
    let (name, instance) = match unit.split_once('@') {
        Some((name, instance)) => (name, Some(instance)),
        None => (unit, None),
    };
    let session = name == "user" && instance.is_some();
    // What systemd-run started without a name.
    let nameless = name.strip_prefix("run-").is_some_and(|rest| {
        rest.starts_with(['r', 'u', 'p']) && rest.bytes().any(|b| b.is_ascii_digit())
    });
    if name.is_empty() || session || nameless || STARTERS.contains(&name) {
        return None;
    }
    Some(name.replace("\\x2d", "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";

    #[test]
    fn containers_by_their_runtimes_forms() {
        let id = "3f".repeat(32);
        let uid = UID.replace('-', "_");
        for path in [
            // Docker: cgroupfs, systemd, within another.
            format!("/docker/{id}"),
            format!("/system.slice/docker-{id}.scope"),
            format!("/docker/{}/docker/{id}", "00".repeat(32)),
            format!("/system.slice/docker.service/docker/{id}"),
            // containerd under a kubelet: cgroupfs, systemd, its own names.
            format!("/kubepods/burstable/pod{UID}/{id}"),
            format!("/kubepods.slice/kubepods-pod{uid}.slice/cri-containerd-{id}.scope"),
            format!(
                "/system.slice/containerd.service/kubepods-besteffort-pod{uid}.slice:cri-containerd:{id}"
            ),
            format!("/k8s.io/{id}"),
            // CRI-O.
            format!(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid}.slice/crio-{id}.scope"
            ),
            format!("/kubepods/besteffort/pod{UID}/crio-{id}"),
            // Podman: as root, without, with a cgroup of its own within, cgroupfs.
            format!("/machine.slice/libpod-{id}.scope"),
            format!(
                "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{id}.scope/container"
            ),
            format!("/libpod_parent/libpod-{id}"),
            // Amazon ECS.
            format!("/ecs/0123456789abcdef/{id}"),
        ] {
            assert_eq!(container_id(&path), Some(id.as_str()), "{path}");
            assert_eq!(unit(&path), None, "{path}");
            let pod = path.contains("kubepods").then(|| UID.to_owned());
            assert_eq!(pod_uid(&path), pod, "{path}");
        }
        assert_eq!(container_id("/user.slice/session-1.scope"), None);
        assert_eq!(container_id(&format!("/docker/{}", "3f".repeat(20))), None);
        assert_eq!(pod_uid("/kubepods/podé"), None);
    }

    #[test]
    fn units_by_their_services() {
        for (path, name) in [
            ("/system.slice/nginx.service", "nginx"),
            ("/system.slice/php8.2-fpm.service", "php8.2-fpm"),
            ("/system.slice/system-shop.slice/shop@8080.service", "shop"),
            ("/system.slice/shop\\x2dapi.service", "shop-api"),
            ("/system.slice/shop.service/worker", "shop"),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service",
                "shop",
            ),
            ("/system.slice/run-tests.service", "run-tests"),
        ] {
            assert_eq!(unit(path).as_deref(), Some(name), "{path}");
        }
        for path in [
            "/",
            "/init.scope",
            "/user.slice/user-0.slice/session-3.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope",
            "/user.slice/user-1000.slice/user@1000.service/init.scope",
            "/user.slice/user-1000.slice/user@1000.service",
            "/system.slice/ssh.service",
            "/system.slice/cron.service",
            "/system.slice/run-u42.service",
            "/system.slice/.service",
        ] {
            assert_eq!(unit(path), None, "{path}");
        }
    }
}
