//! A Redis that will not do is refused with one sentence, without the password.

use std::net::Ipv4Addr;
use std::sync::Arc;

use futures::StreamExt;
use quaestor_backends::redis::{RedisOpenError, RedisServer};
use quaestor_core::clock::SystemClock;
use quaestor_core::events::Event;
use quaestor_core::ports::event_log::{EventLog, Watched};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::own_server::OwnServer;
use super::settings_of;

const SECRET: &str = "a-secret-word";

async fn refusal(url: String) -> RedisOpenError {
    let settings = settings_of(url);
    let error = RedisServer::open(&settings, Arc::new(SystemClock)).await.unwrap_err();
    let mut shown = format!("{settings:?} {error} {error:?}");
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        shown.push_str(&cause.to_string());
        source = cause.source();
    }
    assert!(!shown.contains(SECRET), "{shown}");
    error
}

#[tokio::test]
async fn what_is_wrong_is_said_in_one_sentence() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let nobody = free.local_addr().unwrap();
    drop(free);
    let error = refusal(format!("redis://user:{SECRET}@{nobody}")).await;
    assert!(matches!(error, RedisOpenError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(&nobody.to_string()), "{error}");

    let error = refusal(format!("http://user:{SECRET}@{nobody}")).await;
    assert!(matches!(error, RedisOpenError::BadUrl), "{error:?}");

    let server = OwnServer::start(&["--requirepass", "right"]).await;
    let place = server.url().replace("redis://", "");
    for login in [format!("default:{SECRET}@"), format!("stranger:{SECRET}@"), String::new()] {
        let error = refusal(format!("redis://{login}{place}")).await;
        assert!(matches!(error, RedisOpenError::Refused { .. }), "{login}: {error:?}");
    }
    let settings = settings_of(format!("redis://default:right@{place}"));
    let opened = RedisServer::open(&settings, Arc::new(SystemClock)).await.unwrap();
    assert!(!format!("{opened:?}").contains("right"));
}

#[tokio::test]
async fn missing_rights_are_named() {
    let server = OwnServer::start(&[]).await;
    let rights = "+@read +@write +@pubsub +@scripting +@connection +cluster +time";
    for (user, granted, fit) in [
        ("reader", "~* &* +@read +@connection".to_owned(), false),
        ("elsewhere", format!("~other:* &* {rights}"), false),
        ("deaf", format!("~* &other:* {rights}"), false),
        // What the sentence tells to grant is enough.
        ("fit", format!("~test-* &test-* {rights}"), true),
    ] {
        server
            .admin::<String>(&format!("ACL SETUSER {user} on >{SECRET} resetchannels {granted}"))
            .await;
        let url = server.url().replace("redis://", &format!("redis://{user}:{SECRET}@"));
        if fit {
            let settings = settings_of(url);
            let opened = RedisServer::open(&settings, Arc::new(SystemClock)).await.unwrap();
            let log = super::log_on(opened).await;
            let mut watcher = log.watch(super::WORKSPACE, super::JOB, None).await.unwrap();
            log.append(super::WORKSPACE, super::JOB, 1, vec![Event::Cancelled]).await.unwrap();
            assert_eq!(watcher.next().await, Some(Watched::Gap));
            assert!(matches!(watcher.next().await, Some(Watched::Event(_))));
        } else {
            let error = refusal(url).await;
            assert!(matches!(error, RedisOpenError::NotAllowed { .. }), "{user}: {error:?}");
        }
    }
}

/// Answers every command as a server of an old version does.
async fn old_server(listener: TcpListener) {
    let (mut socket, _) = listener.accept().await.unwrap();
    let greeting = "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n6.2.14\r\n\
                    $5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n\
                    $4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";
    let mut buffer = [0_u8; 4096];
    while let Ok(length @ 1..) = socket.read(&mut buffer).await {
        let text = String::from_utf8_lossy(&buffer[..length]).to_uppercase();
        // One answer for each command, which begin with a star.
        for command in text.split('*').skip(1) {
            let answer = if command.contains("HELLO") { greeting } else { "+OK\r\n" };
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_old_server_is_told_to_be_upgraded() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::select! {
        error = refusal(format!("redis://{address}")) => {
            let RedisOpenError::TooOld { version, .. } = &error else { panic!("{error:?}") };
            assert_eq!(version, "6.2.14");
            assert!(error.to_string().contains("7.0"), "{error}");
        }
        () = old_server(listener) => panic!("the connection ended early"),
    }
}
