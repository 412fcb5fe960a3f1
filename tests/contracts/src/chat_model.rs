//! What every chat model must do.

use futures::StreamExt;
use quaestor_core::ports::chat_model::{
    ChatDelta, ChatModel, ChatRequest, GroundingPassage, PromptMessage, PromptRole,
};
use quaestor_core::ports::model_error::ModelError;

use crate::call_scope;

/// Makes one test of each case. The factory is an async function that gives a model that
/// answers any question with some text.
#[macro_export]
macro_rules! chat_model_contract {
    ($($factory:tt)+) => {
        $crate::contract_cases!(
            chat_model,
            {$($factory)+},
            [
                an_answer_is_text_and_then_its_end,
                an_answer_may_be_dropped_at_any_piece,
                its_name_tells_provider_and_model,
            ]
        );
    };
}

/// A question with one passage.
#[must_use]
pub fn request() -> ChatRequest {
    let question = "What was the revenue in 2019?";
    let text = "Revenue in 2019 was 4.3 million dollars, after 3.9 million in 2018.";
    ChatRequest {
        messages: vec![
            PromptMessage {
                role: PromptRole::System,
                content: format!("Answer from the passage and cite it.\n[1] {text}"),
            },
            PromptMessage { role: PromptRole::User, content: question.to_owned() },
        ],
        question: question.to_owned(),
        passages: vec![GroundingPassage {
            ordinal: 1,
            filename: "report.pdf".to_owned(),
            title: None,
            page: Some(1),
            section: String::new(),
            header: String::new(),
            text: text.to_owned(),
            is_table: false,
            score: 1.0,
        }],
        input_tokens: 60,
        max_output_tokens: 200,
    }
}

/// All of an answer, or the error that ended it.
pub async fn answer(model: &dyn ChatModel) -> Result<Vec<ChatDelta>, ModelError> {
    let mut stream = model.stream(request(), &call_scope()).await?.deltas;
    let mut deltas = Vec::new();
    while let Some(delta) = stream.next().await {
        deltas.push(delta?);
    }
    Ok(deltas)
}

/// Case.
pub async fn an_answer_is_text_and_then_its_end(model: &dyn ChatModel) {
    let deltas = answer(model).await.unwrap();
    let (end, texts) = deltas.split_last().unwrap();
    assert!(matches!(end, ChatDelta::Finished { .. }), "the last piece is {end:?}");
    let mut whole = String::new();
    for text in texts {
        let ChatDelta::Text(text) = text else { panic!("{text:?} before the end") };
        whole.push_str(text);
    }
    assert!(!whole.is_empty());
}

/// Case.
pub async fn an_answer_may_be_dropped_at_any_piece(model: &dyn ChatModel) {
    drop(model.stream(request(), &call_scope()).await.unwrap());
    let mut stream = model.stream(request(), &call_scope()).await.unwrap().deltas;
    stream.next().await.unwrap().unwrap();
    drop(stream);
    assert!(answer(model).await.is_ok());
}

/// Case.
pub async fn its_name_tells_provider_and_model(model: &dyn ChatModel) {
    assert!(!model.name().is_empty());
}
