//! What is asked of a server before it is used, and the sentence for each answer that
//! will not do.

use std::time::Duration;

use quaestor_core::ports::store::StoreError;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Row};

use super::{alone, migrations};

/// The role that every connection acts as.
pub(super) const ROLE: &str = "quaestor_app";

/// The oldest server that will do, as it counts itself: 15.0.
const OLDEST_SERVER: u32 = 15_00_00;
/// The oldest pgvector that will do.
const OLDEST_VECTOR: (u32, u32) = (0, 7);
/// How long a server may take to let us in.
const PATIENCE: Duration = Duration::from_secs(5);

const ACTION: &str = "open the database";

/// The options in a URL.
pub(super) fn parse(url: &SecretString) -> Result<PgConnectOptions, StoreError> {
    // The cause is not passed on: it may quote the URL, and with it the password.
    url.expose_secret()
        .parse::<PgConnectOptions>()
        .map(ConnectOptions::disable_statement_logging)
        .map_err(|_error| {
            refuse("the database URL is none: write postgres://user:password@host:port/database")
        })
}

/// Where the server is, for people.
fn place(options: &PgConnectOptions) -> String {
    let host = options.get_socket().map_or_else(
        || format!("{}:{}", options.get_host(), options.get_port()),
        |socket| socket.display().to_string(),
    );
    format!("{host}, database {}, user {}", database(options), options.get_username())
}

fn database(options: &PgConnectOptions) -> &str {
    options.get_database().unwrap_or(options.get_username())
}

/// Logs in as whoever the URL names, and asks for the server's version.
pub(super) async fn enter(url: &SecretString) -> Result<(PgConnection, String), StoreError> {
    let options = parse(url)?;
    let place = place(&options);
    let opened = tokio::time::timeout(PATIENCE, PgConnection::connect_with(&options)).await;
    let connection = match opened {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(not_let_in(&options, &place, &error)),
        Err(_elapsed) => return Err(away(&place, &"it did not answer in time")),
    };
    let version = connection.server_version_num().unwrap_or(0);
    if version < OLDEST_SERVER {
        return Err(refuse(format!(
            "PostgreSQL at {place} is version {}, and 15 is the oldest that will do: upgrade it",
            version / 10_000
        )));
    }
    Ok((connection, place))
}

/// Makes sure that the server will do and holds the schema of this program, and that
/// nobody else holds the database alone. Returns where it is, for people.
pub(super) async fn check(url: &SecretString, is_alone: bool) -> Result<String, StoreError> {
    let (mut connection, place) = enter(url).await?;
    check_vector(&mut connection, &place, false).await?;
    migrations::check_there(&mut connection, &place).await?;
    check_role(&mut connection, &place).await?;
    migrations::check_current(&mut connection, &place).await?;
    if !is_alone {
        alone::check_open(&mut connection, &place).await?;
    }
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "could not close a connection cleanly");
    }
    Ok(place)
}

/// As [`check`]; and the versions of the server and of the extension.
pub(super) async fn examine(url: &SecretString) -> Result<String, StoreError> {
    let place = check(url, false).await?;
    let (mut connection, _) = enter(url).await?;
    let versions = sqlx::query(
        "SELECT current_setting('server_version'),
             (SELECT extversion FROM pg_extension WHERE extname = 'vector')",
    )
    .fetch_one(&mut connection)
    .await;
    let row = asked(&place, versions)?;
    let server: String = row.try_get(0).map_err(|error| failed(&place, &error))?;
    let vector: String = row.try_get(1).map_err(|error| failed(&place, &error))?;
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "could not close a connection cleanly");
    }
    // `17.6 (Debian 17.6-1)`: the number is enough.
    let server = server.split(' ').next().unwrap_or_default();
    Ok(format!("PostgreSQL {server} with pgvector {vector} at {place}"))
}

/// Makes sure that whoever has logged in may act as the program does.
async fn check_role(connection: &mut PgConnection, place: &str) -> Result<(), StoreError> {
    let member = sqlx::query("SELECT pg_has_role(current_user, $1, 'MEMBER'), current_user::text")
        .bind(ROLE)
        .fetch_one(connection)
        .await;
    let row = asked(place, member)?;
    if row.try_get::<bool, _>(0).map_err(|error| failed(place, &error))? {
        return Ok(());
    }
    let user: String = row.try_get(1).map_err(|error| failed(place, &error))?;
    Err(refuse(format!(
        "the user of PostgreSQL at {place} may not act as {ROLE}: let an administrator run GRANT \
         {ROLE} TO {user}"
    )))
}

/// Makes sure of the vector extension; `may_be_made` where it is enough that it could be.
pub(super) async fn check_vector(
    connection: &mut PgConnection,
    place: &str,
    may_be_made: bool,
) -> Result<(), StoreError> {
    let found = sqlx::query(
        "SELECT installed_version, default_version FROM pg_available_extensions
         WHERE name = 'vector'",
    )
    .fetch_optional(connection)
    .await;
    let Some(row) = asked(place, found)? else {
        return Err(refuse(format!(
            "PostgreSQL at {place} has no extension vector: install pgvector 0.7 or later there \
             (Debian: postgresql-17-pgvector), then run quaestor migrate"
        )));
    };
    let installed: Option<String> = row.try_get(0).map_err(|error| failed(place, &error))?;
    let offered: Option<String> = row.try_get(1).map_err(|error| failed(place, &error))?;
    match (installed, offered) {
        (Some(version), _) if !is_new_enough(&version) => Err(refuse(format!(
            "the extension vector in PostgreSQL at {place} is version {version}, and 0.7 is the \
             oldest that will do: install a newer pgvector and run ALTER EXTENSION vector UPDATE"
        ))),
        (None, Some(version)) if may_be_made && !is_new_enough(&version) => Err(refuse(format!(
            "PostgreSQL at {place} offers the extension vector in version {version}, and 0.7 is \
             the oldest that will do: install a newer pgvector"
        ))),
        (None, _) if !may_be_made => Err(refuse(format!(
            "the extension vector is not made in PostgreSQL at {place}: run quaestor migrate"
        ))),
        _ => Ok(()),
    }
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= OLDEST_VECTOR
}

fn not_let_in(options: &PgConnectOptions, place: &str, error: &sqlx::Error) -> StoreError {
    if let Some(trouble) = crate::tls::trouble(error) {
        return refuse(format!("TLS with PostgreSQL at {place} fails: {trouble}"));
    }
    let code = match error {
        sqlx::Error::Database(cause) => cause.code().unwrap_or_default().into_owned(),
        _ => String::new(),
    };
    match (code.as_str(), error) {
        ("28P01", _) => refuse(format!(
            "PostgreSQL at {place} refuses the password: correct it in the database URL"
        )),
        ("28000", _) => refuse(format!(
            "PostgreSQL at {place} does not let this user in from here: correct the user in the \
             database URL, or pg_hba.conf on the server"
        )),
        ("3D000", _) => refuse(format!(
            "there is no database {} in PostgreSQL at {place}: create it, or correct the database \
             URL",
            database(options)
        )),
        ("", sqlx::Error::Io(_)) => away(place, error),
        ("", sqlx::Error::Tls(_)) => refuse(format!(
            "PostgreSQL at {place} and this program do not agree on TLS ({error}): correct \
             sslmode or sslrootcert in the database URL"
        )),
        _ if super::dialect::is_passing(&code) => away(place, error),
        _ => failed(place, error),
    }
}

fn away(place: &str, cause: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable {
        action: ACTION,
        source: format!(
            "no PostgreSQL answers at {place} ({cause}): start the server, or correct the \
             database URL"
        )
        .into(),
    }
}

/// The answer to a question about the server.
pub(super) fn asked<T>(place: &str, answer: Result<T, sqlx::Error>) -> Result<T, StoreError> {
    answer.map_err(|error| failed(place, &error))
}

pub(super) fn failed(place: &str, error: &sqlx::Error) -> StoreError {
    refuse(format!("PostgreSQL at {place} does not answer as it should: {error}"))
}

pub(super) fn refuse(sentence: impl Into<String>) -> StoreError {
    StoreError::Failed { action: ACTION, source: sentence.into().into() }
}
