//! Logging in, and what a company admin does once: minting a key.

use reqwest::Method;
use reqwest::header::HeaderValue;

use super::{Client, ClientError};
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
        let token: AuthToken = self.post("/login", &body).await?;
        self.token = Some(token.token.into());
        Ok(())
    }

    /// Logs in with an api-key; later calls carry the token.
    ///
    /// # Errors
    /// As [`login`](Self::login).
    pub async fn login_with_key(&mut self, api_key: &Secret) -> Result<(), ClientError> {
        let token: AuthToken = self.post("/login", &KeyLogin { sync_api_key: api_key.expose() }).await?;
        self.token = Some(token.token.into());
        Ok(())
    }

    /// Who answers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn view_server(&self) -> Result<Server, ClientError> {
        self.get("/server").await
    }

    /// Who is logged in.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn me(&self) -> Result<User, ClientError> {
        self.get("/me").await
    }

    /// Mints a key for the caller's company; the one before dies when the new one first logs in, or after
    /// `overlap_seconds`. The reference knows no overlap: there it dies at once.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn mint(&self, overlap_seconds: u32) -> Result<ApiKey, ClientError> {
        let request = self.request(Method::POST, "/v1/apikey");
        let request =
            if overlap_seconds > 0 { request.json(&MintRequest { overlap_seconds }) } else { request };
        self.json(request).await
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
        let request = self.request(Method::POST, "/v1/apikey").json(&MintRequest { overlap_seconds });
        let mut key = HeaderValue::from_str(idempotency_key.expose())
            .map_err(|error| self.unexpected(error.to_string()))?;
        key.set_sensitive(true);
        self.json(request.header("idempotency-key", key)).await
    }
}
