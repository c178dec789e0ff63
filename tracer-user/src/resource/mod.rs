//! What a traced process is called: the resource of its spans. A leaf: knows nothing of the pipeline.
//!
//! Everything is read from `/proc` once, when the process is met; nothing waits. Who names it, the
//! first that does:
//!
//! 1. the user of the agent: `--service-name`, or `OTEL_SERVICE_NAME` in the agent's environment
//! 2. the process' own environment: `OTEL_SERVICE_NAME`, then `service.name` in its
//!    `OTEL_RESOURCE_ATTRIBUTES`
//! 3. `service.name` in the agent's `OTEL_RESOURCE_ATTRIBUTES`
//! 4. what runs it: a pod's workload ([`kubernetes`]), the systemd service it is of ([`cgroup`]), its
//!    container ([`container`]); not the ones that the agent itself is in
//! 5. what it runs: the main package of a Go program, the package of a script of Node ([`artifact`]);
//!    script, module, jar or main class ([`name`]), else the executable
//! 6. `unknown_service:` and the name the kernel has for it
//!
//! Any other attribute likewise: the process' own beats the agent's, both beat what is detected here.
//! Arguments are left out, all but the program's own name: they hold secrets.

mod artifact;
mod cgroup;
mod container;
mod described;
mod files;
mod host;
mod kubernetes;
mod name;
mod runtime;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use procfs::process::{Process, Stat};
use uuid::Uuid;

pub use described::{Options, Resource, SharedResource, Value};
use host::Host;

/// Most attributes taken from one environment: the SDKs' own default
/// (`OTEL_ATTRIBUTE_COUNT_LIMIT`). A resource travels with every batch.
const ATTRIBUTES_LIMIT: usize = 128;

/// Longest text taken of a process: twice a path's longest (`PATH_MAX`); operators write some 1 KiB of attributes.
/// Each of its variables and arguments may have 128 KiB (`MAX_ARG_STRLEN`), and its resource is kept.
const LONGEST_TEXT: usize = 8_192;

/// The namespace that semantic conventions give for `service.instance.id` as UUID version 5.
const INSTANCE_NAMESPACE: Uuid = Uuid::from_u128(0x4d63009a_8d0f_11ee_aad7_4c796ed8e320);

/// What is known of process `pid` now; of one that is gone, no more than its id.
pub fn describe(pid: u32, options: &Options) -> Resource {
    build(&Facts::read(pid), options, Host::get())
}

/// Parses `OTEL_RESOURCE_ATTRIBUTES`: `key=value` pairs between commas, percent-encoded.
///
/// # Errors
///
/// What is wrong with it; the whole is to be ignored then (OpenTelemetry, Resource SDK).
pub fn parse_attributes(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut found: Vec<(String, String)> = Vec::new();
    for pair in text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
    {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("'{pair}' is not key=value"))?;
        let (key, value) = (decode(key)?, decode(value)?);
        if key.is_empty() {
            return Err(format!("'{pair}' has no key"));
        }
        // The last of a name counts.
        found.retain(|(other, _)| *other != key);
        if found.len() < ATTRIBUTES_LIMIT {
            found.push((key, value));
        }
    }
    Ok(found)
}

fn decode(text: &str) -> Result<String, String> {
    let decoded = percent_encoding::percent_decode_str(text.trim()).decode_utf8();
    decoded
        .map(|text| text.into_owned())
        .map_err(|_| format!("'{text}' is not UTF-8"))
}

/// What `/proc` tells of a process.
#[derive(Debug, Default)]
struct Facts {
    pid: u32,
    stat: Option<Stat>,
    exe: Option<PathBuf>,
    directory: Option<PathBuf>,
    arguments: Vec<String>,
    environment: HashMap<OsString, OsString>,
    owner: Option<u32>,
    cgroups: Vec<String>,
    /// Where the mounts it sees come from, each within its file system.
    mounts: Vec<String>,
}

impl Facts {
    fn read(pid: u32) -> Facts {
        let mut facts = Facts {
            pid,
            ..Facts::default()
        };
        let Some(process) = i32::try_from(pid)
            .ok()
            .and_then(|pid| Process::new(pid).ok())
        else {
            return facts;
        };
        facts.stat = process.stat().ok();
        facts.exe = process.exe().ok().map(without_deleted);
        facts.directory = process.cwd().ok();
        facts.arguments = process.cmdline().unwrap_or_default();
        facts.environment = process.environ().unwrap_or_default();
        facts.owner = process.uid().ok();
        let cgroups = process.cgroups().map(|found| found.0).unwrap_or_default();
        facts.cgroups = cgroups.into_iter().map(|cgroup| cgroup.pathname).collect();
        let mounts = process.mountinfo().map(|found| found.0).unwrap_or_default();
        facts.mounts = mounts.into_iter().map(|mount| mount.root).collect();
        facts
    }

    fn variable(&self, name: &str) -> Option<String> {
        let value = self.environment.get(OsStr::new(name))?;
        if value.len() > LONGEST_TEXT {
            log::debug!(
                "process {}: {name} has over {LONGEST_TEXT} bytes: ignored",
                self.pid
            );
            return None;
        }
        Some(value.to_string_lossy().trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn exe_name(&self) -> Option<String> {
        file_name(self.exe.as_deref()?)
    }

    fn runs(&self, interpreter: name::Interpreter) -> bool {
        let exe = self.exe_name();
        exe.and_then(|exe| name::interpreter(&exe)) == Some(interpreter)
    }

    /// The package of the script that Node runs.
    fn package(&self) -> Option<artifact::Package> {
        let node = self.runs(name::Interpreter::Node);
        let script = name::node_script(&self.arguments).filter(|_| node)?;
        let path = self.directory.as_deref()?.join(script);
        artifact::package(&path, |path| files::open(self.pid, path))
    }

    /// What the manifest of the jar that it runs says of its version.
    fn jar_version(&self) -> Option<String> {
        let java = self.runs(name::Interpreter::Java);
        let jar = name::jar(&self.arguments).filter(|_| java)?;
        let path = self.directory.as_deref()?.join(jar);
        artifact::jar_version(files::open(self.pid, &path)?)
    }
}

/// What a process is in.
#[derive(Debug, Default)]
struct Surroundings {
    pod: Option<kubernetes::Pod>,
    container_id: Option<String>,
    container: Option<container::Name>,
    /// What these call the service.
    service: Option<String>,
}

impl Surroundings {
    fn of(facts: &Facts, host: &Host) -> Surroundings {
        let pod = kubernetes::pod(facts, host.name.as_deref());
        // Of a container with a namespace of its own, the cgroup may not tell.
        let mut paths = facts.cgroups.iter().chain(&facts.mounts);
        let id = paths.find_map(|path| cgroup::container_id(path));
        let container = id.and_then(|id| container::name(id, Path::new("/")));
        let unit = || facts.cgroups.iter().find_map(|path| cgroup::unit(path));
        let service = match host.own_cgroups == facts.cgroups {
            true => None,
            false => {
                let pod = pod.as_ref().and_then(|pod| pod.service());
                let container = || {
                    let name = container.as_ref()?;
                    Some(name.service.as_ref().unwrap_or(&name.container).clone())
                };
                pod.map(str::to_owned).or_else(unit).or_else(container)
            }
        };
        Surroundings {
            container_id: id.map(str::to_owned),
            pod,
            container,
            service,
        }
    }
}

fn build(facts: &Facts, options: &Options, host: &Host) -> Resource {
    let own = facts.variable("OTEL_RESOURCE_ATTRIBUTES").and_then(|text| {
        let parsed = parse_attributes(&text);
        parsed
            .inspect_err(|bad| {
                log::debug!("process {}: OTEL_RESOURCE_ATTRIBUTES: {bad}", facts.pid)
            })
            .ok()
    });
    let own = own.unwrap_or_default();
    let named = |attributes: &[(String, String)]| {
        let found = attributes.iter().find(|(key, _)| key == "service.name");
        found
            .map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty())
    };
    let around = Surroundings::of(facts, host);
    let exe = facts.exe_name();
    let go = artifact::go(facts.pid);
    let package = facts.package();
    let service_name = options
        .service_name
        .clone()
        .or_else(|| facts.variable("OTEL_SERVICE_NAME"))
        .or_else(|| named(&own))
        .or_else(|| named(&options.attributes))
        .or_else(|| around.service.clone())
        .or_else(|| go.as_ref()?.name.clone())
        .or_else(|| Some(package.as_ref()?.name.clone()))
        .or_else(|| {
            let directory = facts.directory.as_deref();
            Some(name::of(exe.as_deref()?, &facts.arguments, directory))
        })
        .filter(|name| name.len() <= LONGEST_TEXT)
        .unwrap_or_else(|| match &facts.stat {
            Some(stat) => format!("unknown_service:{}", stat.comm),
            None => "unknown_service".to_owned(),
        });

    let mut resource = Builder::default();
    resource.text("service.name", Some(service_name.clone()));
    resource.int("process.pid", Some(i64::from(facts.pid)));
    resource.text("telemetry.sdk.name", Some("tracer"));
    resource.text("telemetry.sdk.language", Some("rust"));
    resource.text("telemetry.sdk.version", Some(env!("CARGO_PKG_VERSION")));
    resource.text("telemetry.distro.name", Some("tracer"));
    resource.text("telemetry.distro.version", Some(env!("CARGO_PKG_VERSION")));
    for (key, value) in own.iter().chain(&options.attributes) {
        resource.text(key, Some(value.as_str()));
    }
    let version = match &go {
        Some(go) => go.module_version.clone(),
        None => package.and_then(|package| package.version),
    };
    resource.text("service.version", version.or_else(|| facts.jar_version()));
    resource.text(
        "service.instance.id",
        facts.stat.as_ref().map(|stat| instance(host, stat)),
    );
    resource.int(
        "process.parent_pid",
        facts.stat.as_ref().map(|stat| i64::from(stat.ppid)),
    );
    resource.text("process.executable.name", exe.as_deref());
    resource.text(
        "process.executable.path",
        facts.exe.as_ref().map(|exe| exe.to_string_lossy()),
    );
    resource.text(
        "process.command",
        facts.arguments.first().map(|first| command(first)),
    );
    resource.text("process.owner", facts.owner.map(|uid| host.user(uid)));
    resource.text(
        "process.creation.time",
        facts.stat.as_ref().map(|stat| created(host, stat)),
    );
    let (runtime, version) = runtime::of(exe.as_deref(), go.as_ref()).unzip();
    resource.text("process.runtime.name", runtime);
    resource.text("process.runtime.version", version.flatten());
    resource.text("container.id", around.container_id);
    resource.text(
        "container.name",
        around.container.map(|name| name.container),
    );
    let pod = around.pod.unwrap_or_default();
    resource.text("k8s.namespace.name", pod.namespace);
    resource.text("k8s.pod.name", pod.name);
    resource.text("k8s.pod.uid", pod.uid);
    resource.text("k8s.container.name", pod.container);
    resource.text("k8s.node.name", pod.node);
    resource.text("host.name", host.name.as_deref());
    resource.text("host.id", host.id.as_deref());
    resource.text("host.arch", Some(host::ARCH));
    resource.text("os.type", Some("linux"));
    Resource {
        pid: facts.pid,
        service_name,
        attributes: resource.attributes,
        go: go.is_some(),
    }
}

/// Attributes of unique names: the first of a name stays.
#[derive(Default)]
struct Builder {
    attributes: Vec<(String, Value)>,
}

impl Builder {
    fn text(&mut self, name: &str, value: Option<impl Into<String>>) {
        let value = value.map(Into::into);
        let value = value.filter(|value: &String| value.len() <= LONGEST_TEXT);
        self.put(name, value.map(Value::Text));
    }

    fn int(&mut self, name: &str, value: Option<i64>) {
        self.put(name, value.map(Value::Int));
    }

    fn put(&mut self, name: &str, value: Option<Value>) {
        let Some(value) = value else { return };
        if self.attributes.iter().all(|(other, _)| other != name) {
            self.attributes.push((name.to_owned(), value));
        }
    }
}

/// A process' identity that no other has: boot, id and start time.
fn instance(host: &Host, stat: &Stat) -> String {
    let name = format!("{}/{}/{}", host.boot_id, stat.pid, stat.starttime);
    Uuid::new_v5(&INSTANCE_NAMESPACE, name.as_bytes()).to_string()
}

/// RFC 3339; as fine as the kernel tells, a clock tick (10 ms).
fn created(host: &Host, stat: &Stat) -> String {
    let ticks = procfs::ticks_per_second().max(1);
    let since_boot = Duration::from_millis(stat.starttime.saturating_mul(1000) / ticks);
    let at: SystemTime = host.booted + since_boot;
    humantime::format_rfc3339_millis(at).to_string()
}

/// The program's name as it was called; some put more into it ("nginx: worker process", or all of
/// their arguments), of which the first word is kept.
fn command(first: &str) -> String {
    let word = first.split_whitespace().next().unwrap_or_default();
    word.trim_end_matches(':').to_owned()
}

fn file_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().into_owned())
}

/// The kernel marks an executable that was replaced since (an update) in its name.
fn without_deleted(path: PathBuf) -> PathBuf {
    match path
        .to_str()
        .and_then(|text| text.strip_suffix(" (deleted)"))
    {
        Some(text) => PathBuf::from(text),
        None => path,
    }
}

#[cfg(test)]
mod tests;
