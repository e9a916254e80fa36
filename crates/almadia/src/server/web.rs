//! The settings of HTTP beside gRPC: the JSON gateway, the console, and which browsers may use it. It checks form, never names.

use super::ConfigError;
use super::values::{Values, parse_switch};
use almadia_etcd::Config;

/// What was written of it, over `config`.
///
/// # Errors
/// A switch that is neither on nor off, in one line.
pub fn configure(values: &Values, config: Config) -> Result<Config, ConfigError> {
    Ok(Config {
        json_gateway: switch(values, "enable-grpc-gateway", config.json_gateway)?,
        console: switch(values, "enable-console", config.console)?,
        cors: list(values, "cors").unwrap_or(config.cors),
        host_whitelist: list(values, "host-whitelist").unwrap_or(config.host_whitelist),
        ..config
    })
}

fn switch(values: &Values, name: &str, default: bool) -> Result<bool, ConfigError> {
    let Some(text) = values.text(name).filter(|text| !text.is_empty()) else {
        return Ok(default);
    };
    parse_switch(text).ok_or_else(|| {
        let allowed = "allowed are true and false";
        ConfigError::new(format!("{}: {allowed}", values.wording(name)))
    })
}

/// Words between commas.
fn list(values: &Values, name: &str) -> Option<Vec<String>> {
    let text = values.text(name).filter(|text| !text.is_empty())?;
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    Some(words.map(str::to_owned).collect())
}
