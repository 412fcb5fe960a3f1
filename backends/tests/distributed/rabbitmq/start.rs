//! A broker that cannot be used is told at the start, in one sentence; a topology that
//! drifts is told and mended.

use quaestor_backends::queue::rabbitmq::BrokerError;
use quaestor_backends::queue::rabbitmq::topology::{Difference, Topology};
use serde_json::json;

use super::{Broker, Vhost, connect};

/// What is said of an address.
async fn refusal(address: &str) -> BrokerError {
    let error = connect(address.parse().unwrap(), "test").await.unwrap_err();
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(source) = cause {
        said = format!("{said}: {source}");
        cause = source.source();
    }
    assert!(!format!("{said} {error:?}").contains("c4nary"), "{said}");
    assert!(said.contains("127.0.0.1"), "{said}");
    error
}

fn server(broker: Broker) -> String {
    broker.address_of("x").server()
}

#[tokio::test]
async fn a_wrong_password_is_told() {
    for broker in Broker::BOTH {
        let error = refusal(&format!("amqp://quaestor:c4nary@{}/quaestor", server(broker))).await;
        assert!(matches!(error, BrokerError::Refused { .. }), "{broker:?} {error}");
        assert!(error.to_string().contains("user `quaestor`"), "{error}");
    }
}

#[tokio::test]
async fn a_missing_virtual_host_is_told() {
    for broker in Broker::BOTH {
        let error = connect(broker.address_of("nowhere"), "test").await.unwrap_err();
        assert!(matches!(error, BrokerError::NoVirtualHost { .. }), "{broker:?} {error}");
        assert!(error.to_string().contains("rabbitmqctl add_vhost nowhere"), "{error}");
    }
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = refusal(&format!("amqp://u:c4nary@127.0.0.1:{port}/v")).await;
    assert!(matches!(error, BrokerError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_server_of_another_sort_is_told() {
    for said in ["HTTP/1.1 400 Bad Request\r\n\r\n", "AMQP\0\0\u{1}\0"] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = async {
            use tokio::io::AsyncWriteExt;
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        };
        let error = tokio::select! {
            error = refusal_of(port) => error,
            () = answers => unreachable!("it waits for ever"),
        };
        assert!(matches!(error, BrokerError::NotAmqp { .. }), "{error}");
    }
}

async fn refusal_of(port: u16) -> BrokerError {
    refusal(&format!("amqp://u:c4nary@127.0.0.1:{port}/v")).await
}

#[tokio::test]
async fn an_old_broker_is_told() {
    // The first frame of RabbitMQ 3.9, cut down to its version.
    const PROPERTIES: &[u8] = b"\x07versionS\x00\x00\x00\x063.9.29";
    let mut frame = b"\x01\x00\x00\x00\x00\x00\x1c\x00\x0a\x00\x0a\x00\x09".to_vec();
    frame.extend_from_slice(&u32::try_from(PROPERTIES.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(PROPERTIES);
    let size = u32::try_from(frame.len() - 7).unwrap().to_be_bytes();
    frame[3..7].copy_from_slice(&size);
    frame.push(0xce);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers = async {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&frame).await.unwrap();
        std::future::pending::<()>().await;
    };
    let error = tokio::select! {
        error = refusal_of(port) => error,
        () = answers => unreachable!("it waits for ever"),
    };
    assert!(
        matches!(&error, BrokerError::TooOld { version, .. } if version == "3.9.29"),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_or_different_topology_is_told() {
    for broker in Broker::BOTH {
        let vhost = Vhost::empty(broker).await;
        let error = vhost.connect().await.unwrap_err().to_string();
        assert!(error.contains("exchange qs.jobs.v1 is missing"), "{error}");
        assert!(error.contains("quaestor topology apply"), "{error}");
        let classic = json!({"durable": true, "arguments": {"x-queue-type": "classic"}});
        let path = ["queues", &vhost.name, "qs.chat.retrieve.v1"];
        vhost.management.put(&path, &classic).await.unwrap();
        vhost.apply().await;
        let error = vhost.connect().await.unwrap_err();
        let BrokerError::Topology { problems, .. } = &error else { panic!("{error}") };
        assert_eq!(problems.len(), 1, "{error}");
        assert!(problems[0].contains("queue qs.chat.retrieve.v1 differs"), "{error}");
        assert!(problems[0].contains("x-queue-type"), "{error}");
        let told = differences(&vhost).await;
        let what = "queue qs.chat.retrieve.v1: type is classic, and should be quorum";
        assert!(told.iter().any(|line| line.starts_with(what)), "{told:?}");
    }
}

async fn differences(vhost: &Vhost) -> Vec<String> {
    let address = vhost.address();
    let topology = Topology::new(&vhost.management, &address).await.unwrap();
    topology.differences().await.unwrap().iter().map(Difference::to_string).collect()
}

#[tokio::test]
async fn applying_twice_changes_nothing_and_a_drifted_policy_is_told() {
    for broker in Broker::BOTH {
        let vhost = Vhost::empty(broker).await;
        let address = vhost.address();
        let topology = Topology::new(&vhost.management, &address).await.unwrap();
        assert!(!topology.apply().await.unwrap().is_empty());
        assert_eq!(topology.differences().await.unwrap(), []);
        let path = ["definitions", &vhost.name];
        let before: serde_json::Value = vhost.management.get(&path).await.unwrap().unwrap();
        assert_eq!(topology.apply().await.unwrap(), []);
        let after: serde_json::Value = vhost.management.get(&path).await.unwrap().unwrap();
        assert_eq!(before, after, "{broker:?}");

        let drifted = json!({
            "pattern": "^qs\\.(chat|documents)\\.", "apply-to": "queues",
            "definition": {"max-length": 5, "overflow": "drop-head", "expires": 60_000_000},
        });
        let path = ["policies", &vhost.name, "qs-work"];
        vhost.management.put(&path, &drifted).await.unwrap();
        let told = differences(&vhost).await;
        for line in [
            "policy qs-work: max-length is 5, and should be 10000",
            "policy qs-work: overflow is \"drop-head\", and should be \"reject-publish\"",
            "policy qs-work: dead-letter-exchange is not set, and should be \"qs.dead.v1\"",
            "policy qs-work: expires is 60000000, and should be not set",
        ] {
            assert!(told.iter().any(|told| told == line), "{broker:?} {line}: {told:?}");
        }
        topology.apply().await.unwrap();
        assert_eq!(topology.differences().await.unwrap(), [], "{broker:?}");
    }
}

#[tokio::test]
async fn what_is_not_ours_and_takes_our_messages_is_told() {
    let vhost = Vhost::ready(Broker::New).await;
    let queue = json!({"durable": true, "arguments": {"x-queue-type": "quorum"}});
    vhost.management.put(&["queues", &vhost.name, "tap"], &queue).await.unwrap();
    let path = ["bindings", &vhost.name, "e", "qs.jobs.v1", "q", "tap"];
    vhost.management.post(&path, &json!({"routing_key": "#"})).await.unwrap();
    let told = differences(&vhost).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("binding of tap to qs.jobs.v1 with key # is not ours"), "{told:?}");
}

#[tokio::test]
async fn a_missing_virtual_host_is_made() {
    let vhost = Vhost::empty(Broker::New).await;
    vhost.management.delete(&["vhosts", &vhost.name]).await.unwrap();
    assert_eq!(differences(&vhost).await, [format!("virtual host {} is missing", vhost.name)]);
    vhost.apply().await;
    assert_eq!(differences(&vhost).await, [""; 0]);
    vhost.connect().await.unwrap();
}
