//! The settings of HTTP beside gRPC: the JSON gateway, and which browsers may use it. It checks form, never names.

use super::ConfigError;
use super::values::{Values, parse_switch};
use almadia_etcd::Config;

/// What was written of it, over `config`.
///
/// # Errors
/// A switch that is neither on nor off, in one line.
pub fn configure(values: &Values, config: Config) -> Result<Config, ConfigError> {
    let name = "enable-grpc-gateway";
    let json_gateway = match values.text(name).filter(|text| !text.is_empty()) {
        None => config.json_gateway,
        Some(text) => parse_switch(text).ok_or_else(|| {
            let allowed = "allowed are true and false";
            ConfigError::new(format!("{}: {allowed}", values.wording(name)))
        })?,
    };
    Ok(Config {
        json_gateway,
        cors: list(values, "cors").unwrap_or(config.cors),
        host_whitelist: list(values, "host-whitelist").unwrap_or(config.host_whitelist),
        ..config
    })
}

/// Words between commas.
fn list(values: &Values, name: &str) -> Option<Vec<String>> {
    let text = values.text(name).filter(|text| !text.is_empty())?;
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    Some(words.map(str::to_owned).collect())
}
