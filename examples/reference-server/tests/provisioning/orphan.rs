//! What a provider has no key against is found by the reconciliation.

use serde_json::{Value, json};

use crate::{
    account::Holding,
    api::text,
    matrix::DONE,
    system::System,
    trial::{Trial, check},
};

/// Open findings of a fresh look at all providers; what is not ours is left out.
async fn findings(system: &System) -> Result<Vec<Value>, String> {
    let operator = system.operator();
    let dry = json!({ "dry_run": true });
    operator.post("/v1/admin/reconciliation/run", dry).await?;
    system.quiet().await?;
    let mut found = operator
        .list("/v1/admin/reconciliation?state=open&limit=200")
        .await?;
    found.retain(|finding| finding["classification"] != "foreign");
    Ok(found)
}

/// Has the orphans found and released; what that came to. `wrong` is what the accounts say before.
pub(crate) async fn clear(system: &System, trial: &Trial, wrong: &str) -> Result<String, String> {
    let found = findings(system).await?;
    let mut kinds = Vec::new();
    for finding in &found {
        if finding["classification"] != "orphan" {
            return Err(format!("{wrong}, and the reconciliation finds {finding}"));
        }
        let path = format!("/v1/admin/reconciliation/{}/release", text(finding, "id")?);
        system.operator().post(&path, Value::Null).await?;
        kinds.push(text(finding, "kind")?);
    }
    if kinds.is_empty() {
        return go_with_trunk(system, trial, wrong).await;
    }
    system.quiet().await?;
    let check = trial.check(system).await;
    check.map_err(|still| format!("{wrong}, and after the reconciliation {still}"))?;
    Ok(format!(
        "an orphan ({}), found and released: {DONE}",
        kinds.join(", ")
    ))
}

/// A spare part of a trunk costs nothing, and goes when the trunk goes.
async fn go_with_trunk(system: &System, trial: &Trial, wrong: &str) -> Result<String, String> {
    let user = trial.user.at(system.api());
    let before = Holding::of(&user).await?;
    for trunk in user.list("/v1/trunks").await? {
        let path = format!("/v1/trunks/{}", text(&trunk, "id")?);
        user.delete(&path).await?;
    }
    system.quiet().await?;
    let expected = Holding { trunks: 0, ..before };
    let left = trial.compare(system).await.and_then(|left| check(expected, left));
    left.map_err(|still| format!("{wrong}, and without the trunk {still}"))?;
    Ok(format!("a spare that goes with its trunk: {DONE}"))
}

/// An operator who looks sees nothing that is amiss.
pub(crate) async fn none(system: &System) -> Result<(), String> {
    let found = findings(system).await?;
    if found.is_empty() {
        Ok(())
    } else {
        Err(format!("THE RECONCILIATION FINDS {found:?}"))
    }
}
