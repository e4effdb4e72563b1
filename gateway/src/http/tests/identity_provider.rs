//! A small identity provider that tests start: metadata, keys, and codes that are exchanged for ID tokens.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::auth::{LoginSettings, ProviderSettings, Strangers};
use crate::directory::push_base64url;
use crate::tls::self_signed;

pub(super) const CLIENT: &str = "waggle";
pub(super) const SECRET: &str = "the client's secret";
pub(super) const AUDIENCE: &str = "waggle-api";

/// A provider on this machine.
pub(super) struct IdentityProvider {
    pub(super) issuer: String,
    state: Arc<State>,
}

struct State {
    issuer: String,
    keys: Mutex<Vec<Key>>,
    codes: Mutex<HashMap<String, Code>>,
}

/// A key that it signs with.
#[derive(Clone)]
pub(super) struct Key {
    id: String,
    pair: Arc<rcgen::KeyPair>,
}

struct Code {
    challenge: String,
    redirect_url: String,
    claims: Value,
}

pub(super) fn base64url(bytes: &[u8]) -> String {
    let mut text = String::new();
    push_base64url(&mut text, bytes);
    text
}

pub(super) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl Key {
    pub(super) fn make(id: &str) -> Self {
        Self { id: id.to_owned(), pair: Arc::new(rcgen::KeyPair::generate().unwrap()) }
    }

    /// As the provider publishes it.
    pub(super) fn public(&self) -> Value {
        let point = self.pair.public_key_raw();
        let (x, y) = (base64url(&point[1..33]), base64url(&point[33..65]));
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id, "x": x, "y": y})
    }

    /// A token with these claims.
    pub(super) fn sign(&self, claims: &Value) -> String {
        self.sign_with(claims, |_| {})
    }

    pub(super) fn sign_with(&self, claims: &Value, change: impl FnOnce(&mut Header)) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.id.clone());
        change(&mut header);
        encode(&header, claims, &EncodingKey::from_ec_der(&self.pair.serialize_der())).unwrap()
    }
}

impl IdentityProvider {
    pub(super) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Over TLS; gives the certificate too, in PEM form.
    pub(super) async fn start_tls() -> (Self, String) {
        let (acceptor, certificate) = self_signed();
        (Self::start_with(Some(acceptor)).await, certificate)
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let issuer = match tls {
            Some(_) => format!("https://localhost:{port}"),
            None => format!("http://127.0.0.1:{port}"),
        };
        let keys = Mutex::new(vec![Key::make("first")]);
        let state = Arc::new(State { issuer: issuer.clone(), keys, codes: Mutex::default() });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, tls) = (Arc::clone(&serving), tls.clone());
                let service = service_fn(move |request| answer(Arc::clone(&state), request));
                tokio::spawn(async move {
                    let http = hyper::server::conn::http1::Builder::new();
                    // Clients that go away are no concern of these tests.
                    match tls {
                        None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                drop(http.serve_connection(TokioIo::new(stream), service).await);
                            }
                        }
                    }
                });
            }
        });
        Self { issuer, state }
    }

    /// What a gateway knows of it.
    pub(super) fn settings(&self) -> ProviderSettings {
        ProviderSettings {
            issuer: self.issuer.clone(),
            tenant: "acme".to_owned(),
            claim: "sub".to_owned(),
            algorithms: vec![Algorithm::RS256, Algorithm::ES256],
            jwks_url: None,
            audience: Some(AUDIENCE.to_owned()),
            login: Some(LoginSettings {
                client_id: CLIENT.to_owned(),
                client_secret: Some(SECRET.into()),
                redirect_url: "https://desk.example/v1/login/oidc/callback".to_owned(),
                scopes: "openid email".to_owned(),
                strangers: Strangers::Refused,
            }),
            roots: None::<PathBuf>,
        }
    }

    pub(super) fn key(&self) -> Key {
        self.state.keys.lock().last().unwrap().clone()
    }

    /// Takes another key in the place of those that it has.
    pub(super) fn rotate(&self, key: Key) {
        *self.state.keys.lock() = vec![key];
    }

    /// The claims of a good token for the API.
    pub(super) fn claims(&self) -> Value {
        json!({"iss": self.issuer, "aud": AUDIENCE, "sub": "u-17", "exp": now_s() + 600, "nbf": now_s()})
    }

    /// Somebody logs in at the page that a browser was sent to; gives code and state. What is in `claims` takes the
    /// place of what the ID token would say.
    pub(super) fn authorize(&self, url: &str, claims: &Value) -> (String, String) {
        let query = url.strip_prefix(&format!("{}/authorize?", self.issuer)).unwrap();
        let asked: HashMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        assert_eq!((asked["response_type"].as_str(), asked["client_id"].as_str()), ("code", CLIENT));
        assert_eq!(asked["code_challenge_method"], "S256");
        assert!(asked["scope"].split(' ').any(|scope| scope == "openid"));
        let mut said = json!({
            "iss": self.issuer, "aud": CLIENT, "sub": "u-17", "exp": now_s() + 60, "iat": now_s(),
            "nonce": asked["nonce"],
        });
        for (name, value) in claims.as_object().unwrap() {
            said[name] = value.clone();
        }
        let code = format!("code-{}", self.state.codes.lock().len());
        let granted = Code {
            challenge: asked["code_challenge"].clone(),
            redirect_url: asked["redirect_uri"].clone(),
            claims: said,
        };
        self.state.codes.lock().insert(code.clone(), granted);
        (code, asked["state"].clone())
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let issuer = &state.issuer;
    let answer = match parts.uri.path() {
        "/.well-known/openid-configuration" => Some(json!({
            "issuer": issuer, "jwks_uri": format!("{issuer}/jwks"),
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"), "response_types_supported": ["code"],
        })),
        "/jwks" => Some(json!({"keys": state.keys.lock().iter().map(Key::public).collect::<Vec<_>>()})),
        "/token" => {
            let basic = parts.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
            let form = body.collect().await.unwrap().to_bytes();
            state.exchange(basic.as_deref(), &form)
        }
        _ => None,
    };
    let status = if answer.is_some() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let body = answer.unwrap_or_else(|| json!({"error": "invalid_grant"})).to_string();
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    Ok(response)
}

impl State {
    /// A code is exchanged once, by the client that it was given to, with the verifier of its challenge.
    fn exchange(&self, basic: Option<&str>, form: &[u8]) -> Option<Value> {
        // "waggle:the+client%27s+secret"
        const BASIC: &str = "Basic d2FnZ2xlOnRoZStjbGllbnQlMjdzK3NlY3JldA==";
        let asked: HashMap<String, String> = form_urlencoded::parse(form).into_owned().collect();
        let code = self.codes.lock().remove(asked.get("code")?)?;
        let challenge = base64url(&Sha256::digest(asked.get("code_verifier")?.as_bytes()));
        let is_good = basic == Some(BASIC)
            && asked.get("grant_type")? == "authorization_code"
            && challenge == code.challenge
            && *asked.get("redirect_uri")? == code.redirect_url;
        let key = self.keys.lock().last()?.clone();
        is_good.then(|| json!({"token_type": "Bearer", "id_token": key.sign(&code.claims)}))
    }
}
