//! `quaestor key`: who may use the server?

use quaestor_core::model::Role;
use secrecy::ExposeSecret;
use serde_json::json;

use super::args::KeyAction;
use super::client::{CreatedKey, ListedKey};
use super::{Connection, Ended, Style, Terminal, client, plain};

/// Runs one of the actions.
pub(super) async fn run(
    connection: &Connection,
    action: KeyAction,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let client = client(connection)?;
    match action {
        KeyAction::Create { name, role } => {
            let body = json!({ "name": name, "role": Role::from(role) });
            let key: CreatedKey =
                client.post_once("/api/admin/keys", &body, "making a key").await?;
            terminal.note(&format!(
                "{} key `{}` ({}), shown only now:",
                key.role,
                plain(&key.name),
                key.id
            ))?;
            terminal.line(key.key.expose_secret())?;
        }
        KeyAction::List => {
            let keys: Vec<ListedKey> =
                client.list("/api/admin/keys", usize::MAX, "the list of keys").await?;
            let head =
                format!("{:<36}  {:<8}  {:<14}  {:<10}  name", "id", "role", "begins", "made");
            terminal.line(&terminal.paint(Style::Bold, &head))?;
            for key in keys {
                let revoked = match key.revoked_at {
                    Some(when) => terminal
                        .paint(Style::Yellow, &format!("  revoked {}", when.format("%Y-%m-%d"))),
                    None => String::new(),
                };
                terminal.line(&format!(
                    "{:<36}  {:<8}  {:<14}  {:<10}  {}{revoked}",
                    key.id.to_string(),
                    key.role.as_str(),
                    plain(&key.prefix),
                    key.created_at.format("%Y-%m-%d"),
                    plain(&key.name),
                ))?;
            }
        }
        KeyAction::Revoke { id } => {
            client.delete(&format!("/api/admin/keys/{id}"), &format!("key {id}")).await?;
            terminal.note(&format!("key {id} is revoked"))?;
        }
    }
    Ok(Ended::Well)
}
