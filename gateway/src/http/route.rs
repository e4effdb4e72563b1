//! Paths.

use http::Method;
use waggle_core::id::TicketId;
use waggle_core::push::PATH as PUSH;

use crate::observe::RouteClass;
use crate::problem::Problem;

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Tickets,
    Ticket(TicketId),
    Messages(TicketId),
    Events(TicketId),
    Commands(TicketId),
    Me,
    Queues,
    Agents,
    Presence,
    Push,
    PushSessions,
    PushEvents,
    Healthz,
    Readyz,
    Metrics,
}

impl Route {
    /// The route of a path, without its query.
    pub(super) fn find(path: &str) -> Result<Self, Problem> {
        match path {
            "/v1/tickets" => return Ok(Self::Tickets),
            PUSH => return Ok(Self::Push),
            "/v1/push/events" => return Ok(Self::PushEvents),
            "/v1/push/sessions" => return Ok(Self::PushSessions),
            "/v1/me" => return Ok(Self::Me),
            "/v1/queues" => return Ok(Self::Queues),
            "/v1/agents" => return Ok(Self::Agents),
            "/v1/presence" => return Ok(Self::Presence),
            "/healthz" => return Ok(Self::Healthz),
            "/readyz" => return Ok(Self::Readyz),
            "/metrics" => return Ok(Self::Metrics),
            _ => {}
        }
        let rest = path.strip_prefix("/v1/tickets/").ok_or_else(|| nothing_at(path))?;
        let (id, below) = rest.split_once('/').map_or((rest, None), |(id, below)| (id, Some(below)));
        let of = match below {
            None => Self::Ticket,
            Some("messages") => Self::Messages,
            Some("events") => Self::Events,
            Some("commands") => Self::Commands,
            Some(_) => return Err(nothing_at(path)),
        };
        id.parse().map(of).map_err(|error| Problem::new("no_such_ticket", format!("{error}")))
    }

    /// Methods that it takes, as `Allow` lists them.
    pub(super) fn allow(self) -> &'static str {
        match self {
            Self::Tickets => "GET, HEAD, POST",
            Self::Commands(_) => "POST",
            Self::Push | Self::PushEvents => "GET",
            _ => "GET, HEAD",
        }
    }

    /// As metrics count it.
    pub(super) fn class(self, method: &Method) -> RouteClass {
        match self {
            Self::Commands(_) => RouteClass::Command,
            Self::Tickets if method == Method::POST => RouteClass::Create,
            Self::Push | Self::PushEvents => RouteClass::Push,
            Self::Healthz | Self::Readyz | Self::Metrics => RouteClass::Ops,
            _ => RouteClass::Read,
        }
    }
}

fn nothing_at(path: &str) -> Problem {
    let shown: String = path.chars().take(80).collect();
    Problem::new("not_found", format!("there is nothing at {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_routes() {
        let ticket = TicketId(17);
        for (path, route) in [
            ("/v1/tickets", Ok(Route::Tickets)),
            ("/v1/tickets/17", Ok(Route::Ticket(ticket))),
            ("/v1/tickets/17/messages", Ok(Route::Messages(ticket))),
            ("/v1/tickets/17/events", Ok(Route::Events(ticket))),
            ("/v1/tickets/17/commands", Ok(Route::Commands(ticket))),
            ("/v1/push", Ok(Route::Push)),
            ("/v1/push/sessions", Ok(Route::PushSessions)),
            ("/", Err("not_found")),
            ("/v1/tickets/17/", Err("not_found")),
            ("/v1/tickets/17/commands/1", Err("not_found")),
            ("/v1/tickets/", Err("no_such_ticket")),
            ("/v1/tickets/0", Err("no_such_ticket")),
            ("/v1/tickets/x/events", Err("no_such_ticket")),
            ("/v1/tickets/18446744073709551616", Err("no_such_ticket")),
        ] {
            assert_eq!(Route::find(path).map_err(|problem| problem.code), route, "{path}");
        }
    }
}
