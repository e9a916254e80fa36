//! The config file: etcd's YAML, flattened to the names of the flags. It checks the document's shape, never a value.

use yaml_serde::Value;

/// Keys of a section and what to put before them to get the flag's name.
const SECTIONS: &[(&str, &str)] = &[
    ("client-transport-security", ""),
    ("peer-transport-security", "peer-"),
    ("socket-options", "socket-"),
];

/// The settings of a document with their texts, in the document's order.
///
/// # Errors
/// Says in one line why this is no list of settings.
pub fn flatten(document: &str) -> Result<Vec<(String, String)>, String> {
    let value: Value = yaml_serde::from_str(document).map_err(|error| format!("not YAML: {error}"))?;
    let settings = match value {
        // An empty file asks for nothing.
        Value::Null => return Ok(Vec::new()),
        Value::Mapping(settings) => settings,
        _ => return Err("expected lines of the form `name: value`".to_owned()),
    };
    let mut flat = Vec::new();
    for (key, value) in settings {
        let name = key_text(&key)?;
        if let Some((_, prefix)) = SECTIONS.iter().find(|(section, _)| *section == name) {
            flatten_section(&name, prefix, &value, &mut flat)?;
            continue;
        }
        if let Some(text) = value_text(&name, &value)? {
            flat.push((name, text));
        }
    }
    Ok(flat)
}

fn flatten_section(
    section: &str,
    prefix: &str,
    value: &Value,
    flat: &mut Vec<(String, String)>,
) -> Result<(), String> {
    let settings = match value {
        Value::Null => return Ok(()),
        Value::Mapping(settings) => settings,
        _ => {
            return Err(format!(
                "{section}: expected lines of the form `name: value` below it"
            ));
        }
    };
    for (key, value) in settings {
        let name = key_text(key)?;
        let flag = match (name.as_str(), prefix) {
            // Names that the file has and no flag.
            ("allowed-cn", prefix) => format!("{prefix}cert-allowed-cn"),
            ("allowed-hostname", "") => "client-cert-allowed-hostname".to_owned(),
            ("allowed-hostname", prefix) => format!("{prefix}cert-allowed-hostname"),
            (name, prefix) => format!("{prefix}{name}"),
        };
        if let Some(text) = value_text(&flag, value)? {
            flat.push((flag, text));
        }
    }
    Ok(())
}

fn key_text(key: &Value) -> Result<String, String> {
    key.as_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("{key:?} is not the name of a setting"))
}

/// The value as a flag would have it; none for an empty one.
fn value_text(name: &str, value: &Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(switch) => Ok(Some(switch.to_string())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Sequence(items) => {
            let texts: Result<Vec<Option<String>>, String> =
                items.iter().map(|item| value_text(name, item)).collect();
            Ok(Some(texts?.into_iter().flatten().collect::<Vec<_>>().join(",")))
        }
        Value::Mapping(_) | Value::Tagged(_) => Err(format!("{name}: expected one value")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(document: &str, expected: &[(&str, &str)]) {
        let found = flatten(document).expect("a good document");
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        assert_eq!(found, expected, "{document}");
    }

    #[test]
    fn settings_become_flags() {
        check(
            "name: m0\nheartbeat-interval: 100\npre-vote: true\n",
            &[
                ("name", "m0"),
                ("heartbeat-interval", "100"),
                ("pre-vote", "true"),
            ],
        );
        check(
            "log-outputs: [stderr, /tmp/x]\n",
            &[("log-outputs", "stderr,/tmp/x")],
        );
        check("", &[]);
        check("# nothing\nwal-dir:\ncors: ''\n", &[("cors", "")]);
    }

    #[test]
    fn sections_have_the_flags_names() {
        let document = "client-transport-security:\n  cert-file: a\n  client-cert-auth: true\npeer-transport-security:\n  cert-file: b\n  auto-tls: false\n  allowed-cn: [m0, m1]\n  allowed-hostname: h\nsocket-options:\n  reuse-port: true\n";
        let expected = [
            ("cert-file", "a"),
            ("client-cert-auth", "true"),
            ("peer-cert-file", "b"),
            ("peer-auto-tls", "false"),
            ("peer-cert-allowed-cn", "m0,m1"),
            ("peer-cert-allowed-hostname", "h"),
            ("socket-reuse-port", "true"),
        ];
        check(document, &expected);
        check("socket-options: {}\n", &[]);
    }

    #[test]
    fn what_is_not_a_list_of_settings_is_refused_in_one_line() {
        for document in [
            "- a\n- b\n",
            "just text",
            "name: {a: b}\n",
            "1: 2\n",
            "a: b: c\n",
            "client-transport-security: 3\n",
            "\0",
        ] {
            let reason = flatten(document).expect_err(document);
            assert!(!reason.contains('\n'), "{reason}");
        }
    }
}
