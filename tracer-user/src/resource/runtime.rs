//! The language runtime of a process, where it is certain: Go by the build information that every Go
//! binary carries, stripped or not; interpreters by their executable's name.

use super::artifact::Go;
use super::name::{Interpreter, interpreter};

/// `process.runtime.*`: name, and version if known.
pub fn of(exe: Option<&str>, go: Option<&Go>) -> Option<(&'static str, Option<String>)> {
    let name = match exe.and_then(interpreter) {
        Some(Interpreter::Python) => "cpython",
        Some(Interpreter::Node) => "nodejs",
        Some(Interpreter::Java) => "java",
        Some(Interpreter::Ruby) => "ruby",
        Some(Interpreter::Php | Interpreter::PhpFpm) => "php",
        None => return go.map(|go| ("go", go.version.clone())),
    };
    Some((name, None))
}
