//! Passwords on the command line: every process of the machine can read it, notebooks under Landlock included.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Flags whose URLs may have a password, and the variables that say the same.
const FLAGS: [(&str, &str); 2] =
    [("--redis-url", "ISOCHRONE_REDIS_URL"), ("--amqp-url", "ISOCHRONE_AMQP_URL")];

/// Becomes the same program with such passwords in its environment, which nobody else reads. Returns where there is
/// none, or where that can't be done.
pub(crate) fn hide() {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let Some(Hidden { arguments, variables }) = hidden(&arguments) else { return };
    let Ok(program) = std::env::current_exe() else { return };
    let mut command = Command::new(program);
    if let Some((name, rest)) = arguments.split_first() {
        command.arg0(name).args(rest);
    }
    for (variable, value) in variables {
        command.env(variable, value).env_remove(format!("{variable}_FILE"));
    }
    let error = command.exec();
    eprintln!("isochrone: a password stays on the command line ({error}); set {} instead", FLAGS[0].1);
}

#[derive(Debug, PartialEq, Eq)]
struct Hidden {
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
}

/// None: there is nothing to hide. Where a flag is given twice, the last one counts.
fn hidden(arguments: &[OsString]) -> Option<Hidden> {
    let (mut left, mut variables) = (Vec::new(), Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            left.push(argument.clone());
            left.extend(arguments.by_ref().cloned());
            break;
        }
        let text = argument.to_string_lossy();
        let (flag, value) = text.split_once('=').map_or((&*text, None), |(flag, value)| (flag, Some(value)));
        let Some((_, variable)) = FLAGS.iter().find(|(known, _)| *known == flag) else {
            left.push(argument.clone());
            continue;
        };
        let value = match value {
            Some(value) => OsString::from(value),
            None => arguments.next()?.clone(),
        };
        variables.push((*variable, value));
    }
    let secret = variables.iter().any(|(_, value)| has_password(&value.to_string_lossy()));
    secret.then_some(Hidden { arguments: left, variables })
}

fn has_password(url: &str) -> bool {
    url.split_once("://").is_some_and(|(_, rest)| rest.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hides(line: &str) -> Option<(String, Vec<String>)> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let Hidden { arguments, variables } = hidden(&arguments)?;
        let text = |text: &OsString| text.to_string_lossy().into_owned();
        let variables = variables.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
        Some((arguments.iter().map(text).collect::<Vec<_>>().join(" "), variables))
    }

    #[test]
    fn a_password_leaves_the_command_line() {
        let (line, variables) =
            hides("isochrone --redis-url redis://:s@h/0 worker --amqp-url=amqp://u:p@b").expect("two");
        assert_eq!(line, "isochrone worker");
        assert_eq!(variables, ["ISOCHRONE_REDIS_URL=redis://:s@h/0", "ISOCHRONE_AMQP_URL=amqp://u:p@b"]);
    }

    #[test]
    fn what_has_none_stays() {
        for line in [
            "isochrone up",
            "isochrone --redis-url redis://h/0 worker",
            "isochrone worker --redis-url",
            "isochrone item add -- --redis-url redis://:s@h",
        ] {
            assert_eq!(hides(line), None, "{line}");
        }
    }
}
