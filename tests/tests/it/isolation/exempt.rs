//! Routes that are not a tenant's, and whose they are.

/// Who a route is for, other than a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// Everybody: nobody has a tenant yet, or nothing of a tenant is shown.
    Public,
    /// A provider, which proves itself by a signature over the request or a token in its path.
    Provider,
    /// A call's own agent, by the token of the call.
    Call,
    /// Operators of the platform, by a token of their own.
    Operator,
}

/// Routes that the sweep leaves out, and why. This list only shrinks.
pub(super) const EXEMPT: &[(&str, &str, Audience)] = &[
    ("POST", "/v1/auth/register", Audience::Public),
    ("POST", "/v1/auth/login", Audience::Public),
    ("POST", "/v1/auth/refresh", Audience::Public),
    ("POST", "/v1/auth/logout", Audience::Public),
    ("GET", "/v1/plans", Audience::Public),
    ("GET", "/healthz", Audience::Public),
    ("GET", "/readyz", Audience::Public),
    ("GET", "/metrics", Audience::Public),
    ("GET", "/openapi.json", Audience::Public),
    ("GET", "/docs", Audience::Public),
    ("GET", "/docs/", Audience::Public),
    ("GET", "/docs/{file}", Audience::Public),
    ("GET", "/media/twilio/{token}", Audience::Provider),
    ("POST", "/webhooks/twilio/voice", Audience::Provider),
    ("POST", "/webhooks/twilio/fallback", Audience::Provider),
    ("POST", "/webhooks/twilio/status", Audience::Provider),
    ("POST", "/webhooks/twilio/after-media", Audience::Provider),
    (
        "POST",
        "/webhooks/elevenlabs/conversation-init",
        Audience::Provider,
    ),
    ("POST", "/webhooks/elevenlabs/post-call", Audience::Provider),
    ("GET", "/webhooks/knowlarity/{secret}", Audience::Provider),
    ("POST", "/webhooks/knowlarity/{secret}", Audience::Provider),
    ("POST", "/webhooks/livekit", Audience::Provider),
    ("POST", "/v1/tools/{tool}", Audience::Call),
    ("GET", "/v1/admin/unrouted-calls", Audience::Operator),
    ("GET", "/v1/admin/jobs", Audience::Operator),
    ("POST", "/v1/admin/jobs/{id}/retry", Audience::Operator),
    ("POST", "/v1/admin/numbers/provision-missing", Audience::Operator),
    ("POST", "/v1/admin/numbers/import", Audience::Operator),
    ("GET", "/v1/admin/jobs/{id}", Audience::Operator),
    ("GET", "/v1/admin/pool", Audience::Operator),
    ("POST", "/v1/admin/pool", Audience::Operator),
    ("DELETE", "/v1/admin/pool/{id}", Audience::Operator),
    ("GET", "/v1/admin/reconciliation", Audience::Operator),
    ("POST", "/v1/admin/reconciliation/run", Audience::Operator),
    (
        "POST",
        "/v1/admin/reconciliation/{finding}/adopt",
        Audience::Operator,
    ),
    (
        "POST",
        "/v1/admin/reconciliation/{finding}/release",
        Audience::Operator,
    ),
    (
        "POST",
        "/v1/admin/reconciliation/{finding}/repair",
        Audience::Operator,
    ),
    ("POST", "/v1/admin/numbers/repoint-webhooks", Audience::Operator),
];
