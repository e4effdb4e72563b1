//! What has to do with who one is: logins, sessions, passwords, tokens.

use std::net::SocketAddr;

use bytes::Bytes;
use http::request::Parts;
use hyper::body::Body;

use super::answer::Response;
use super::endpoint::{Operation, Parameters};
use super::{Api, Refused, login, oidc, sessions, tokens};
use crate::problem::Problem;

/// Carries out one of these operations.
pub(super) async fn answer<B>(
    api: &Api,
    operation: Operation,
    parts: &Parts,
    parameters: &Parameters<'_>,
    body: B,
    remote: SocketAddr,
) -> Result<Response, Refused>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    match operation {
        Operation::LogIn => login::log_in(api, parts, body, remote).await,
        Operation::LogOut => Ok(login::log_out(api, parts).await?),
        Operation::BeginOidc => oidc::begin(api, parts, remote),
        Operation::FinishOidc => oidc::finish(api, parts, remote).await,
        Operation::GetSession => Ok(login::session(api, parts)?),
        Operation::ListSessions => Ok(sessions::list(api, parts)?),
        Operation::EndSession => {
            Ok(sessions::end(api, parts, parameters.parsed(0, "no_such_session")?).await?)
        }
        Operation::CreatePushToken => Ok(sessions::push_token(api, parts)?),
        Operation::ChangePassword => login::change_password(api, parts, body, remote).await,
        Operation::ResetPassword => {
            login::reset_password(api, parts, parameters.parsed(0, "no_such_agent")?, remote).await
        }
        Operation::ListTokens => Ok(tokens::list(api, parts)?),
        Operation::CreateToken => Ok(tokens::create(api, parts, body).await?),
        Operation::RevokeToken => {
            Ok(tokens::revoke(api, parts, parameters.parsed(0, "no_such_token")?).await?)
        }
        _ => Err(Problem::new("not_found", "this has nothing to do with accounts").into()),
    }
}
