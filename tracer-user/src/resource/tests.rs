//! A process of known environment, as its resource.

use std::process::{Child, Command};

use super::*;

fn text<'a>(resource: &'a Resource, name: &str) -> Option<&'a str> {
    let found = resource.attributes.iter().find(|(key, _)| key == name)?;
    match &found.1 {
        Value::Text(text) => Some(text),
        other => panic!("{name}: {other:?}"),
    }
}

fn sleeper(environment: &[(&str, &str)]) -> Child {
    let mut command = Command::new("/bin/sleep");
    command
        .arg("60")
        .env_remove("OTEL_SERVICE_NAME")
        .env_remove("OTEL_RESOURCE_ATTRIBUTES");
    let child = command.envs(environment.iter().copied()).spawn().unwrap();
    // `spawn` returns when the child has left our memory, just before its own is complete.
    let path = format!("/proc/{}/environ", child.id());
    while std::fs::read(&path).unwrap().is_empty() {
        std::thread::yield_now();
    }
    child
}

fn described(environment: &[(&str, &str)], options: &Options) -> Resource {
    let mut child = sleeper(environment);
    let resource = describe(child.id(), options);
    child.kill().unwrap();
    child.wait().unwrap();
    resource
}

#[test]
fn a_plain_process() {
    let mut child = sleeper(&[]);
    let resource = describe(child.id(), &Options::default());
    let again = describe(child.id(), &Options::default());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(resource, again, "stable over time");
    assert_eq!(resource.pid, child.id());
    assert_eq!(resource.service_name, "sleep");
    assert_eq!(text(&resource, "service.name"), Some("sleep"));
    assert_eq!(text(&resource, "process.executable.name"), Some("sleep"));
    assert!(
        text(&resource, "process.executable.path")
            .unwrap()
            .ends_with("/sleep")
    );
    assert_eq!(text(&resource, "process.command"), Some("/bin/sleep"));
    assert!(text(&resource, "process.owner").is_some());
    let created = humantime::parse_rfc3339(text(&resource, "process.creation.time").unwrap());
    let age = SystemTime::now().duration_since(created.unwrap()).unwrap();
    assert!(age < Duration::from_secs(60), "{age:?}");
    assert_eq!(text(&resource, "service.instance.id").unwrap().len(), 36);
    assert_eq!(text(&resource, "os.type"), Some("linux"));
    let pid = ("process.pid".to_owned(), Value::Int(i64::from(child.id())));
    assert!(resource.attributes.contains(&pid));
    let parent = (
        "process.parent_pid".to_owned(),
        Value::Int(i64::from(std::process::id())),
    );
    assert!(resource.attributes.contains(&parent));
    let mut names: Vec<&String> = resource.attributes.iter().map(|(key, _)| key).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), resource.attributes.len(), "names are unique");
}

#[test]
fn who_names_the_service() {
    let agent = Options {
        service_name: None,
        attributes: vec![
            ("service.name".into(), "agents".into()),
            ("team".into(), "a".into()),
        ],
    };
    let of = |environment: &[(&str, &str)], options: &Options| {
        described(environment, options).service_name
    };
    assert_eq!(of(&[], &agent), "agents");
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=inner,team=b");
    assert_eq!(of(&[attributes], &agent), "inner");
    assert_eq!(
        of(&[attributes, ("OTEL_SERVICE_NAME", "own")], &agent),
        "own"
    );
    assert_eq!(
        of(&[("OTEL_SERVICE_NAME", "")], &Options::default()),
        "sleep",
        "empty is unset"
    );
    let named = Options {
        service_name: Some("flag".into()),
        ..agent.clone()
    };
    assert_eq!(
        of(&[attributes, ("OTEL_SERVICE_NAME", "own")], &named),
        "flag"
    );
    assert_eq!(text(&described(&[attributes], &agent), "team"), Some("b"));
    assert_eq!(text(&described(&[], &agent), "team"), Some("a"));
}

#[test]
fn a_process_may_not_say_that_it_is_another() {
    let resource = described(
        &[(
            "OTEL_RESOURCE_ATTRIBUTES",
            "process.pid=1,telemetry.sdk.name=x,host.name=node%2D7",
        )],
        &Options::default(),
    );
    assert_eq!(text(&resource, "telemetry.sdk.name"), Some("tracer"));
    assert_eq!(text(&resource, "host.name"), Some("node-7"));
    let pid = Value::Int(i64::from(resource.pid));
    assert!(
        resource
            .attributes
            .contains(&("process.pid".to_owned(), pid))
    );
}

#[test]
fn of_what_a_process_says_the_length_is_bounded() {
    let long = "x".repeat(LONGEST_TEXT + 1);
    let attributes = format!("team=a,long={long}");
    let said = [
        ("OTEL_SERVICE_NAME", &long[..]),
        ("OTEL_RESOURCE_ATTRIBUTES", &attributes),
    ];
    let resource = described(&said, &Options::default());
    assert_eq!(text(&resource, "team"), None);
    assert!(resource.service_name.len() < 100);
    let mut facts = Facts::read(std::process::id());
    facts.arguments = vec![long];
    let resource = build(&facts, &Options::default(), Host::get());
    assert_eq!(text(&resource, "process.command"), None);
}

#[test]
fn a_process_that_is_gone() {
    let resource = describe(999_999_999, &Options::default());
    assert_eq!(resource.service_name, "unknown_service");
    assert_eq!(text(&resource, "process.executable.name"), None);
}

#[test]
fn without_an_executable_the_kernel_names_it() {
    let mut facts = Facts::read(std::process::id());
    facts.exe = None;
    let resource = build(&facts, &Options::default(), Host::get());
    assert!(
        resource.service_name.starts_with("unknown_service:"),
        "{}",
        resource.service_name
    );
}

#[test]
fn arguments_stay_at_home() {
    assert_eq!(command("/usr/sbin/nginx"), "/usr/sbin/nginx");
    assert_eq!(command("nginx: worker process"), "nginx");
    assert_eq!(command("server --password=x"), "server");
}

#[test]
fn attributes_are_percent_encoded_pairs() {
    let parsed = parse_attributes(" a=1, b=x%2Cy%3D ,a=2,").unwrap();
    assert_eq!(
        parsed,
        [
            ("b".to_owned(), "x,y=".to_owned()),
            ("a".to_owned(), "2".to_owned())
        ]
    );
    assert!(parse_attributes("a").is_err());
    assert!(parse_attributes("=1").is_err());
    assert!(parse_attributes("a=%FF").is_err());
    let many: String = (0..500).map(|i| format!("k{i}=v,")).collect();
    assert_eq!(parse_attributes(&many).unwrap().len(), ATTRIBUTES_LIMIT);
}

fn named(cgroup: &str, environment: &[(&str, &str)]) -> Resource {
    let mut facts = Facts::read(std::process::id());
    facts.environment = environment
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    facts.cgroups = vec![cgroup.to_owned()];
    build(&facts, &Options::default(), Host::get())
}

#[test]
fn what_runs_a_process_names_it_before_what_it_runs() {
    let unit = named("/system.slice/shop.service", &[]);
    assert_eq!(unit.service_name, "shop");
    let own = [("OTEL_SERVICE_NAME", "own")];
    assert_eq!(
        named("/system.slice/shop.service", &own).service_name,
        "own"
    );
    let uid = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
    let id = "3f".repeat(32);
    let environment = [
        ("HOSTNAME", "checkout-5d78c9869d-x2v9k"),
        ("POD_NAMESPACE", "shop"),
    ];
    let pod = named(&format!("/kubepods/burstable/pod{uid}/{id}"), &environment);
    assert_eq!(pod.service_name, "checkout");
    for (name, value) in [
        ("k8s.pod.name", "checkout-5d78c9869d-x2v9k"),
        ("k8s.pod.uid", uid),
        ("k8s.namespace.name", "shop"),
        ("container.id", &id),
    ] {
        assert_eq!(text(&pod, name), Some(value), "{name}");
    }
    assert_eq!(text(&unit, "k8s.pod.name"), None);
    assert_eq!(text(&unit, "container.id"), None);
}

#[test]
fn what_the_agent_is_in_itself_names_no_one() {
    let mut facts = Facts::read(std::process::id());
    facts.cgroups = vec!["/system.slice/tracer.service".to_owned()];
    facts.environment.clear();
    let mut host = Host::read();
    host.own_cgroups = facts.cgroups.clone();
    let resource = build(&facts, &Options::default(), &host);
    assert_eq!(Some(resource.service_name), facts.exe_name());
}
