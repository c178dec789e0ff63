//! A service's name from what its process runs: the script, module, jar or class behind an
//! interpreter, else the executable.
//!
//! Bias: short and stable over restarts. Only the interpreters whose command line is known are
//! looked through; of their arguments nothing but that one name is used.

use std::path::Path;

/// Names that say nothing; their folder's does.
const NAMELESS: [&str; 4] = ["index", "main", "__main__", "manage"];

/// Programs that start an application of Ruby's: it is called as the folder that they are started in.
const RUBY_STARTERS: [&str; 6] = ["bundle", "puma", "rackup", "rails", "thin", "unicorn"];

/// The name for a process of executable `exe` (file name) with `arguments` (program first), started
/// in `directory`.
pub fn of(exe: &str, arguments: &[String], directory: Option<&Path>) -> String {
    let rest = arguments.get(1..).unwrap_or_default();
    let title = arguments.first().map_or("", String::as_str);
    let found = match interpreter(exe) {
        Some(Interpreter::Python) => python(rest, directory),
        Some(Interpreter::Node) => node_script(arguments).and_then(|path| script(path, directory)),
        Some(Interpreter::Java) => java(rest),
        Some(Interpreter::Ruby) => ruby(title, rest, directory),
        Some(Interpreter::Php) => php(rest, directory),
        Some(Interpreter::PhpFpm) => Some(php_pool(title)),
        None => None,
    };
    found
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| exe.to_owned())
}

/// Programs whose process is named by what they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpreter {
    Python,
    Node,
    Java,
    Ruby,
    Php,
    PhpFpm,
}

/// Which interpreter an executable is, by its file's name.
pub fn interpreter(exe: &str) -> Option<Interpreter> {
    let version = |rest: &str| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match exe {
        "java" => Some(Interpreter::Java),
        _ if exe
            .strip_prefix("nodejs")
            .or(exe.strip_prefix("node"))
            .is_some_and(version) =>
        {
            Some(Interpreter::Node)
        }
        _ if exe.strip_prefix("python").is_some_and(version) => Some(Interpreter::Python),
        _ if exe.strip_prefix("ruby").is_some_and(version) => Some(Interpreter::Ruby),
        _ if exe.strip_prefix("php-fpm").is_some_and(version) => Some(Interpreter::PhpFpm),
        _ if exe.strip_prefix("php").is_some_and(version) => Some(Interpreter::Php),
        _ => None,
    }
}

/// `python [-OPTION...] (SCRIPT | -m MODULE | -c COMMAND | -) [ARG...]`; options may be fused.
fn python(arguments: &[String], directory: Option<&Path>) -> Option<String> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let Some(option) = argument.strip_prefix('-') else {
            return script(argument, directory);
        };
        if option.starts_with('-') {
            if option == "-check-hash-based-pycs" {
                arguments.next();
            }
            continue;
        }
        // The first letter that takes a value ends the group: its value is the rest, or what follows.
        match option.find(['c', 'm', 'W', 'X']) {
            Some(at) => {
                let (letter, fused) = option[at..].split_at(1);
                let value = if fused.is_empty() {
                    arguments.next()?.as_str()
                } else {
                    fused
                };
                match letter {
                    "m" => return Some(value.trim_end_matches(".__main__").to_owned()),
                    "c" => return None,
                    _ => {}
                }
            }
            None if option.is_empty() => return None,
            None => {}
        }
    }
    None
}

/// The script that node runs, as it was named: `node [OPTION...] [SCRIPT] [ARG...]`
pub fn node_script(arguments: &[String]) -> Option<&str> {
    const WITH_VALUE: [&str; 10] = [
        "-r",
        "--require",
        "--import",
        "--loader",
        "--experimental-loader",
        "-C",
        "--conditions",
        "--env-file",
        "--title",
        "--icu-data-dir",
    ];
    let mut arguments = arguments.iter().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-e" | "--eval" | "-p" | "--print" | "-pe" | "-" => return None,
            option if WITH_VALUE.contains(&option) => _ = arguments.next(),
            option if option.starts_with('-') => {}
            path => return Some(path),
        }
    }
    None
}

/// `java [OPTION...] (CLASS | -jar JAR | -m MODULE[/CLASS] | SOURCE.java) [ARG...]`
fn java(arguments: &[String]) -> Option<String> {
    const WITH_VALUE: [&str; 13] = [
        "-cp",
        "-classpath",
        "--class-path",
        "-p",
        "--module-path",
        "--upgrade-module-path",
        "--add-modules",
        "--add-exports",
        "--add-opens",
        "--add-reads",
        "--limit-modules",
        "--patch-module",
        "--source",
    ];
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-jar" => return Some(unversioned(&stem(Path::new(arguments.next()?))?).to_owned()),
            "-m" | "--module" => {
                let module = arguments.next()?;
                return Some(module.rsplit('/').next().unwrap_or(module).to_owned());
            }
            option if WITH_VALUE.contains(&option) => _ = arguments.next(),
            option if option.starts_with(['-', '@']) => {}
            source if source.ends_with(".java") => return stem(Path::new(source)),
            class => return Some(class.to_owned()),
        }
    }
    None
}

/// The jar that java runs, as it was named.
pub fn jar(arguments: &[String]) -> Option<&str> {
    let at = arguments.iter().position(|argument| argument == "-jar")?;
    arguments.get(at + 1).map(String::as_str)
}

/// `shop` of `shop-1.2.0-SNAPSHOT`: a service keeps its name when it is updated.
fn unversioned(jar: &str) -> &str {
    let version = jar
        .match_indices('-')
        .find(|(at, _)| jar[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
    match version {
        Some((at, _)) if at > 0 => &jar[..at],
        _ => jar,
    }
}

/// `ruby [OPTION...] [SCRIPT] [ARG...]`; Puma tells in its title what it serves: `puma 6.4 (...) [shop]`.
fn ruby(title: &str, arguments: &[String], directory: Option<&Path>) -> Option<String> {
    if let Some((_, tag)) = title
        .strip_suffix(']')
        .and_then(|title| title.rsplit_once('['))
    {
        return Some(tag.to_owned());
    }
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-e" => return None,
            "-I" | "-r" | "-C" | "-E" => _ = arguments.next(),
            option if option.starts_with('-') => {}
            path => {
                let name = script(path, directory)?;
                let folder = directory.and_then(Path::file_name);
                return match folder.filter(|_| RUBY_STARTERS.contains(&name.as_str())) {
                    Some(folder) => Some(folder.to_string_lossy().into_owned()),
                    None => Some(name),
                };
            }
        }
    }
    None
}

/// `php [OPTION...] [-f] SCRIPT [ARG...]`, or `php -S ADDRESS [-t FOLDER] [SCRIPT]`
fn php(arguments: &[String], directory: Option<&Path>) -> Option<String> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-r" | "-R" | "-a" => return None,
            "-c" | "-d" | "-S" | "-t" | "-z" => _ = arguments.next(),
            option if option.starts_with('-') => {}
            path => return script(path, directory),
        }
    }
    None
}

/// `php-fpm: pool shop`; `www` is what Debian and others call the one there is.
fn php_pool(title: &str) -> String {
    match title.strip_prefix("php-fpm: pool ").map(str::trim) {
        Some("" | "www") | None => "php-fpm".to_owned(),
        Some(pool) => pool.to_owned(),
    }
}

/// A script's file without its ending; one that has a nameless name, by its folder.
fn script(path: &str, directory: Option<&Path>) -> Option<String> {
    let path = Path::new(path);
    let name = stem(path)?;
    if !NAMELESS.contains(&name.as_str()) {
        return Some(name);
    }
    let whole = directory.map(|directory| directory.join(path));
    let folder = whole
        .as_deref()
        .unwrap_or(path)
        .parent()
        .and_then(Path::file_name);
    Some(folder.map_or(name, |folder| folder.to_string_lossy().into_owned()))
}

fn stem(path: &Path) -> Option<String> {
    Some(path.file_stem()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let exe = words[0].rsplit('/').next().unwrap();
        of(exe, &words, Some(Path::new("/srv/shop")))
    }

    #[test]
    fn executables_are_their_own_name() {
        assert_eq!(named("nginx -g daemon"), "nginx");
        assert_eq!(named("/opt/bin/checkout --port 80"), "checkout");
        assert_eq!(named("pythonic server.py"), "pythonic");
        assert_eq!(named("node_exporter --web"), "node_exporter");
    }

    #[test]
    fn python_runs_a_script_or_a_module() {
        assert_eq!(named("python3 server.py --secret x"), "server");
        assert_eq!(
            named("/usr/bin/python3.11 -m http.server 8080"),
            "http.server"
        );
        assert_eq!(
            named("python -u -W ignore -X dev /srv/api/worker.py"),
            "worker"
        );
        assert_eq!(named("python -Wignore -um flask run"), "flask");
        assert_eq!(named("python3 -c print"), "python3");
        assert_eq!(named("python3 /usr/bin/gunicorn app:app"), "gunicorn");
        assert_eq!(named("python3 main.py"), "shop");
        assert_eq!(named("python3 manage.py runserver"), "shop");
        assert_eq!(named("python3 /srv/mail/__main__.py"), "mail");
        assert_eq!(named("python3"), "python3");
    }

    #[test]
    fn node_runs_a_script() {
        assert_eq!(
            named("node --require ./otel.js --inspect server.js"),
            "server"
        );
        assert_eq!(named("node index.js"), "shop");
        assert_eq!(named("node dist/api.mjs"), "api");
        assert_eq!(named("node -e 1"), "node");
    }

    #[test]
    fn ruby_and_php_run_scripts_and_applications() {
        assert_eq!(named("ruby -W0 -I lib worker.rb --x"), "worker");
        assert_eq!(named("ruby3.1 bin/rails server"), "shop");
        assert_eq!(named("ruby -e 1"), "ruby");
        let puma = ["puma 6.4.0 (tcp://0.0.0.0:3000) [prices]".to_owned()];
        assert_eq!(of("ruby", &puma, None), "prices");
        assert_eq!(named("php -d x=y artisan serve"), "artisan");
        assert_eq!(named("php8.2 -S 0.0.0.0:80 router.php"), "router");
        assert_eq!(named("php -S 0.0.0.0:80"), "php");
        let pool = |title: &str| of("php-fpm8.2", &[title.to_owned()], None);
        assert_eq!(pool("php-fpm: pool shop"), "shop");
        assert_eq!(pool("php-fpm: pool www"), "php-fpm");
        assert_eq!(
            pool("php-fpm: master process (/etc/php/fpm.conf)"),
            "php-fpm"
        );
    }

    #[test]
    fn java_runs_a_jar_a_class_or_a_module() {
        assert_eq!(
            named("java -Xmx1g -jar /opt/shop-1.2-SNAPSHOT.jar --x"),
            "shop"
        );
        assert_eq!(named("java -jar spring-petclinic.jar"), "spring-petclinic");
        assert_eq!(named("java -jar 2048-game.jar"), "2048-game");
        assert_eq!(
            named("java -cp a:b -Dpassword=x com.acme.Main arg"),
            "com.acme.Main"
        );
        assert_eq!(
            named("java --module-path mods -m shop/com.acme.Main"),
            "com.acme.Main"
        );
        assert_eq!(named("java Server.java 8080"), "Server");
        assert_eq!(named("java -version"), "java");
    }
}
