//! What has no end is ended here, and never held in memory (F26, F27).

use quaestor_contracts::call_id;
use quaestor_core::ports::chat_model::FinishReason;
use quaestor_core::ports::model_error::ErrorClass;
use quaestor_model_server::{Answer, ModelServer, Reply, Step};

use crate::providers::{Kind, Told, ask};

/// What an answer may cost in memory, beside itself.
const MAX_GROWTH_KB: u64 = 20 * 1024;

/// A line, and an answer, may be this long.
const MEBIBYTE: usize = 1024 * 1024;

/// The most memory that this process ever held, in KiB, since it was last reset.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Asks while the memory is measured. A first answer has made whatever every answer needs.
#[expect(clippy::print_stdout, reason = "the figure is for whoever runs it alone")]
async fn measured(kind: Kind, reply: Reply, what: &str) -> Told {
    let server = ModelServer::start().await;
    let model = kind.chat(&server);
    ask(&*model).await;
    server.push(reply);
    // 5 resets the peak to what is held now (proc(5), clear_refs).
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak_kb();
    let told = ask(&*model).await;
    let grown = peak_kb().saturating_sub(before);
    assert!(grown <= MAX_GROWTH_KB, "{kind:?} {what}: {grown} KiB");
    println!("{kind:?} {what}: {grown} KiB");
    told
}

/// These bytes again and again after a beginning.
fn endless(beginning: &[u8], piece: &[u8]) -> Reply {
    Reply::stream(vec![
        Step::Bytes(beginning.to_vec()),
        Step::Bytes(piece.to_vec()),
        Step::Again(1),
    ])
}

#[tokio::test]
async fn an_endless_line_is_refused_before_it_is_held() {
    let piece = vec![b'x'; 64 * 1024];
    for kind in Kind::ALL {
        let told = measured(kind, endless(b"data: {\"a\":\"", &piece), "one line").await;
        assert_eq!(told.error().class, ErrorClass::Malformed, "{kind:?}");
        let lines = endless(b"data: {", &[b"data: ", &piece[..], b"\n"].concat());
        let told = measured(kind, lines, "one event of many lines").await;
        assert_eq!(told.error().class, ErrorClass::Malformed, "{kind:?}");
        let told = measured(kind, endless(b"", &[b": ", &piece[..], b"\n"].concat()), "comments");
        assert_eq!(told.await.error().class, ErrorClass::Malformed, "{kind:?}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_and_says_so() {
    for kind in Kind::ALL {
        let words = Answer::words(1_000).endless();
        let told = measured(kind, Reply::answer(words), "words").await;
        assert_eq!(told.reason(), FinishReason::Length, "{kind:?}");
        assert!(told.text.len() <= MEBIBYTE, "{kind:?}: {}", told.text.len());
        assert!(told.pieces > 10_000, "{kind:?}: {} pieces", told.pieces);
        let large = Answer::tokens(vec!["\u{fc}".repeat(100_000)]).endless();
        let told = measured(kind, Reply::answer(large), "large tokens").await;
        assert_eq!(told.reason(), FinishReason::Length, "{kind:?}");
        assert_eq!(told.text.len(), MEBIBYTE, "{kind:?}");
    }
}

#[tokio::test]
async fn one_token_larger_than_an_answer_is_no_token() {
    let huge = "x".repeat(5 * MEBIBYTE);
    for kind in Kind::ALL {
        let server = ModelServer::start().await;
        let model = kind.chat(&server);
        server.push(Reply::answer(Answer::tokens(vec![huge.clone()])));
        assert_eq!(ask(&*model).await.error().class, ErrorClass::Malformed, "{kind:?}");
        // After the beginning of an answer, it is where the answer is cut.
        server.push(Reply::answer(Answer::tokens(vec!["Revenue ".to_owned(), huge.clone()])));
        let told = ask(&*model).await;
        assert_eq!((told.text.as_str(), told.reason()), ("Revenue ", FinishReason::Length));
        // The script of such a token is larger than what reading it costs: measured is one
        // that the server makes up as it goes.
        let frame: &[u8] = match kind {
            Kind::Anthropic => b"data: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"",
            _ => b"data: {\"choices\":[{\"delta\":{\"content\":\"",
        };
        let token = endless(frame, &[b'x'; 64 * 1024]);
        assert_eq!(measured(kind, token, "one token").await.error().class, ErrorClass::Malformed);
    }
}

#[tokio::test]
async fn a_body_that_does_not_end_is_no_list_of_vectors() {
    use quaestor_core::ports::embedder::EmbedKind;
    for kind in [Kind::OpenAi, Kind::AzureDated] {
        let server = ModelServer::start().await;
        let steps = vec![
            Step::Bytes(b"{\"data\":[".to_vec()),
            Step::Bytes(vec![b' '; 64 * 1024]),
            Step::Again(1),
        ];
        server.push(Reply::stream(steps).header("content-type", "application/json"));
        let model = kind.embedder(&server, 2);
        let texts = ["a".to_owned()];
        let error = model.request(EmbedKind::Passage, &texts, call_id()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Malformed, "{error:?}");
    }
}
