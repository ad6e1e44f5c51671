//! Logging in, and what a company admin does once: minting a key.

use reqwest::header::HeaderValue;
use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;

use super::{Client, ClientError, MAX_SMALL};
use crate::crypto::Secret;
use crate::wire::api_key::{ApiKey, MintRequest};
use crate::wire::auth::{AuthToken, KeyLogin, PasswordLogin};
use crate::wire::server::Server;
use crate::wire::user::User;

impl Client {
    /// Logs in with a password; later calls carry the token.
    ///
    /// # Errors
    /// [`ClientError`]; refused (401) for every wrong credential alike.
    pub async fn login(&mut self, username: &str, password: &Secret) -> Result<(), ClientError> {
        let body = PasswordLogin { username, password: password.expose() };
        let token: AuthToken = self.ask(self.request(Method::POST, "/login").json(&body)).await?;
        self.token = Some(token.token.into());
        Ok(())
    }

    /// Logs in with an api-key; later calls carry the token. The answer says how long the key lives.
    ///
    /// # Errors
    /// As [`login`](Self::login).
    pub async fn login_with_key(&mut self, api_key: &Secret) -> Result<AuthToken, ClientError> {
        let body = KeyLogin { sync_api_key: api_key.expose() };
        let token: AuthToken = self.ask(self.request(Method::POST, "/login").json(&body)).await?;
        self.token = Some(token.token.as_str().into());
        Ok(token)
    }

    /// Who answers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn view_server(&self) -> Result<Server, ClientError> {
        self.ask(self.request(Method::GET, "/server")).await
    }

    /// Who is logged in.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn me(&self) -> Result<User, ClientError> {
        self.ask(self.request(Method::GET, "/me")).await
    }

    /// Mints a key for the caller's company; the one before dies when the new one first logs in, or after
    /// `overlap_seconds`. The reference knows no overlap: there it dies at once.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn mint(&self, overlap_seconds: u32) -> Result<ApiKey, ClientError> {
        let request = self.request(Method::POST, "/v1/apikey");
        let request =
            if overlap_seconds > 0 { request.json(&with_overlap(overlap_seconds)) } else { request };
        self.ask(request).await
    }

    /// The same for a machine, which may only mint what it can ask for again: the same `idempotency_key` gives the
    /// same key.
    ///
    /// # Errors
    /// [`ClientError`]; refused (403) by the reference.
    pub async fn rotate(
        &self,
        idempotency_key: &Secret,
        overlap_seconds: u32,
    ) -> Result<ApiKey, ClientError> {
        let request = self.request(Method::POST, "/v1/apikey").json(&with_overlap(overlap_seconds));
        let mut key = HeaderValue::from_str(idempotency_key.expose())
            .map_err(|error| self.unexpected(error.to_string()))?;
        key.set_sensitive(true);
        self.ask(request.header("idempotency-key", key)).await
    }

    /// A question with a short answer.
    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        self.json_within(request, MAX_SMALL).await
    }
}

fn with_overlap(overlap_seconds: u32) -> MintRequest {
    MintRequest { overlap_seconds: Some(overlap_seconds), ..MintRequest::default() }
}
