//! What the operator wrote, before anybody asks whether it makes sense: one value per setting, with the place it came
//! from, so that a complaint can name it. Command line goes before environment; a config file replaces both, as in etcd.

use super::ConfigError;
use super::file;
use super::table::{self, Setting, Value};
use std::collections::BTreeMap;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A flag on the command line.
    Flag,
    /// The setting's environment variable.
    Environment,
    /// The config file of this path.
    File(String),
}

/// One value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The text; switches are `true` or `false`.
    pub text: String,
    /// Where it stands.
    pub place: Place,
}

/// What Kubernetes tells a container of its pod, by the variables that a manifest makes of the downward API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// `POD_NAME`; without it the host name, which in a pod is the same.
    pub name: Option<String>,
    /// `POD_NAMESPACE`.
    pub namespace: Option<String>,
    /// Kubernetes' API, where `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT` say that it is.
    pub api: Option<String>,
}

/// All values that were written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values {
    /// Where the process runs; no setting, and read whether there is a config file or not.
    pub pod: Pod,
    given: BTreeMap<&'static str, Given>,
    /// What the operator should know about how they were read.
    pub warnings: Vec<String>,
}

impl Pod {
    fn of(environment: &[(String, String)]) -> Self {
        let find = |wanted: &str| {
            let found = environment
                .iter()
                .find(|(name, text)| name == wanted && !text.is_empty());
            found.map(|(_, text)| text.clone())
        };
        Self {
            name: find("POD_NAME").or_else(|| find("HOSTNAME")),
            namespace: find("POD_NAMESPACE"),
            api: find("KUBERNETES_SERVICE_HOST").map(|host| {
                let port = find("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned());
                let is_bare_ipv6 = host.contains(':') && !host.starts_with('[');
                let host = if is_bare_ipv6 { format!("[{host}]") } else { host };
                format!("https://{host}:{port}")
            }),
        }
    }
}

impl Values {
    /// Puts flags and environment together, or reads the config file one of them names. `environment` is every variable
    /// of the process.
    pub fn gather(
        flags: &BTreeMap<&'static str, String>,
        environment: &[(String, String)],
        read_file: impl Fn(&str) -> std::io::Result<String>,
    ) -> Result<Self, ConfigError> {
        let mut values = Self {
            pod: Pod::of(environment),
            ..Self::default()
        };
        values.take_environment(environment);
        for (name, text) in flags {
            values.put(name, text.clone(), Place::Flag);
        }
        let Some(path) = values.text("config-file").map(str::to_owned) else {
            return Ok(values);
        };
        let document = read_file(&path)
            .map_err(|error| ConfigError::new(format!("--config-file {path}: cannot be read: {error}")))?;
        let mut from_file = Self {
            pod: values.pod.clone(),
            ..Self::default()
        };
        for (name, text) in file::flatten(&document)
            .map_err(|reason| ConfigError::new(format!("--config-file {path}: {reason}")))?
        {
            match table::find(&name) {
                Some(setting) => from_file.put(setting.name, text, Place::File(path.clone())),
                None => from_file
                    .warnings
                    .push(format!("{path}: unknown setting {name} is ignored")),
            }
        }
        let others: Vec<&str> = values
            .given
            .keys()
            .copied()
            .filter(|name| *name != "config-file")
            .collect();
        if !others.is_empty() {
            let message = format!(
                "with --config-file, flags and environment are ignored: {}",
                others.join(", ")
            );
            from_file.warnings.push(message);
        }
        Ok(from_file)
    }

    fn take_environment(&mut self, environment: &[(String, String)]) {
        // An empty variable counts as not set, as in etcd.
        for (key, text) in environment.iter().filter(|(_, text)| !text.is_empty()) {
            let Some((prefix, name)) = key
                .split_once('_')
                .filter(|(prefix, _)| matches!(*prefix, "ETCD" | "ALMADIA"))
            else {
                continue;
            };
            let setting = table::find(&name.to_lowercase().replace('_', "-"));
            match setting.filter(|setting| setting.environment().starts_with(prefix)) {
                Some(setting) => self.put(setting.name, text.clone(), Place::Environment),
                None if prefix == "ETCD" => self
                    .warnings
                    .push(format!("unknown environment variable {key} is ignored")),
                // Ours may be meant for the client commands and the tests.
                None => {}
            }
        }
    }

    fn put(&mut self, name: &'static str, text: String, place: Place) {
        self.given.insert(name, Given { text, place });
    }

    /// The text of a setting, if it was written.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(|given| given.text.as_str())
    }

    /// True when the value comes from a config file, where durations are nanoseconds.
    pub fn is_from_file(&self, name: &str) -> bool {
        self.given
            .get(name)
            .is_some_and(|given| matches!(given.place, Place::File(_)))
    }

    /// The setting and its value as the operator wrote them, for a complaint.
    pub fn wording(&self, name: &str) -> String {
        let Some(given) = self.given.get(name) else {
            return format!("--{name}");
        };
        match &given.place {
            Place::Flag => format!("--{name}={}", given.text),
            Place::Environment => {
                let variable = table::find(name).map(Setting::environment).unwrap_or_default();
                format!("{variable}={}", given.text)
            }
            Place::File(path) => format!("{path}: {name}: {}", given.text),
        }
    }

    /// Everything written, with its setting.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Setting, &str)> {
        self.given
            .iter()
            .filter_map(|(name, given)| Some((table::find(name)?, given.text.as_str())))
    }
}

/// True for a value that asks for nothing: a switch that is off, an empty text.
pub fn asks_for_nothing(setting: &Setting, text: &str) -> bool {
    text.is_empty() || (setting.value == Value::Switch && parse_switch(text) == Some(false))
}

/// The spellings of on and off that etcd's command line takes.
pub fn parse_switch(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
