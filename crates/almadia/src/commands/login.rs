//! Who asks: a user's name and password, the token they are traded for, and connections that show it.
//!
//! Logs in when the first call is made, and again when a token is no longer good. Never keeps a password anywhere but in
//! memory, never prints one.

use std::sync::Mutex;

use almadia_etcd::proto::etcdserverpb::AuthenticateRequest;
use almadia_etcd::proto::etcdserverpb::auth_client::AuthClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::error::CommandError;
use super::terminal;

/// The user on the command line.
#[derive(Clone, Default, clap::Args)]
pub struct LoginArguments {
    /// Log in as this user; a password that is not given is asked for.
    #[arg(
        id = "login_user",
        long = "user",
        global = true,
        env = "ALMADIA_USER",
        hide_env_values = true,
        value_name = "NAME[:PASSWORD]",
        help_heading = "Client options"
    )]
    pub user: Option<String>,
    /// The user's password; others may see it in the list of processes, but not in ALMADIA_PASSWORD.
    #[arg(
        id = "login_password",
        long = "password",
        global = true,
        env = "ALMADIA_PASSWORD",
        hide_env_values = true,
        value_name = "PASSWORD",
        help_heading = "Client options"
    )]
    pub password: Option<String>,
}

/// Written by hand, so that no password gets into a log.
impl std::fmt::Debug for LoginArguments {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LoginArguments").finish_non_exhaustive()
    }
}

/// A connection that shows the user's token, where there is one.
pub type Connection = InterceptedService<Channel, ShowToken>;

/// Adds a token to each request.
#[derive(Clone, Default)]
pub struct ShowToken(Option<MetadataValue<Ascii>>);

impl Interceptor for ShowToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("token", token.clone());
        }
        Ok(request)
    }
}

/// A user who logs in when it is needed.
pub struct Login {
    user: String,
    password: String,
    /// The token in use; `None`: the next call logs in.
    token: Mutex<Option<ShowToken>>,
}

impl Login {
    /// The user the arguments name; asks for the password on the terminal when none is given.
    pub fn new(arguments: &LoginArguments) -> Result<Option<Self>, CommandError> {
        let Some(given) = arguments.user.as_deref().filter(|user| !user.is_empty()) else {
            return match &arguments.password {
                Some(_) => Err(CommandError::usage(
                    "there is a password, but no user; add --user NAME",
                )),
                None => Ok(None),
            };
        };
        let (user, password) = match (&arguments.password, given.split_once(':')) {
            // With --password a colon belongs to the name, as in etcdctl.
            (Some(password), _) => (given, password.clone()),
            (None, Some((user, password))) => (user, password.to_owned()),
            (None, None) => (given, ask(given)?),
        };
        Ok(Some(Self {
            user: user.to_owned(),
            password,
            token: Mutex::new(None),
        }))
    }

    /// Lets the next call log in again.
    pub fn forget(&self) {
        *self.token.lock().expect("no panic holds it") = None;
    }

    async fn token(&self, channel: &Channel) -> Result<ShowToken, Status> {
        let known = self.token.lock().expect("no panic holds it").clone();
        if let Some(token) = known {
            return Ok(token);
        }
        let message = AuthenticateRequest {
            name: self.user.clone(),
            password: self.password.clone(),
        };
        let token = match AuthClient::new(channel.clone()).authenticate(message).await {
            Ok(answer) => {
                let token = answer.into_inner().token;
                let token = token
                    .parse()
                    .map_err(|_| Status::data_loss("the token that came is none"))?;
                ShowToken(Some(token))
            }
            // Without access control everybody may ask.
            Err(status) if is_switched_off(&status) => ShowToken(None),
            Err(status) => return Err(status),
        };
        *self.token.lock().expect("no panic holds it") = Some(token.clone());
        Ok(token)
    }
}

fn ask(user: &str) -> Result<String, CommandError> {
    terminal::ask_secret(&format!("password of {user}: "))?.ok_or_else(|| {
        CommandError::usage(format!(
            "the password of {user} is missing and there is no terminal to ask; set ALMADIA_PASSWORD"
        ))
    })
}

/// The channel with the user's token; logs in when there is none yet.
pub async fn connection(login: Option<&Login>, channel: &Channel) -> Result<Connection, Status> {
    let token = match login {
        Some(login) => login.token(channel).await?,
        None => ShowToken::default(),
    };
    Ok(InterceptedService::new(channel.clone(), token))
}

/// Whether a refusal says that another login would help: the token has expired, users or roles have changed, or access
/// control was switched on meanwhile.
pub fn is_outdated(message: &str) -> bool {
    [
        "invalid auth token",
        "revision of auth store is old",
        "user name is empty",
    ]
    .iter()
    .any(|text| message.ends_with(text))
}

fn is_switched_off(status: &Status) -> bool {
    status.code() == Code::FailedPrecondition && status.message().ends_with("authentication is not enabled")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: Option<&str>, password: Option<&str>) -> Result<Option<(String, String)>, CommandError> {
        let arguments = LoginArguments {
            user: user.map(str::to_owned),
            password: password.map(str::to_owned),
        };
        Ok(Login::new(&arguments)?.map(|login| (login.user, login.password)))
    }

    #[test]
    fn users_and_passwords() {
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(login(None, None).expect("nobody"), None);
        assert_eq!(login(Some("ann:a:b"), None).expect("valid"), pair("ann", "a:b"));
        assert_eq!(login(Some("ann:"), None).expect("valid"), pair("ann", ""));
        assert_eq!(login(Some("a:b"), Some("c")).expect("valid"), pair("a:b", "c"));
        assert!(matches!(login(None, Some("c")), Err(CommandError::Usage(_))));
    }

    /// Promise: a password is not shown where arguments are.
    #[test]
    fn passwords_are_not_shown() {
        let arguments = LoginArguments {
            user: Some("ann:secret".to_owned()),
            password: Some("secret".to_owned()),
        };
        assert!(!format!("{arguments:?}").contains("secret"));
    }
}
