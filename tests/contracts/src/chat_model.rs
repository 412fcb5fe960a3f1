//! The contract of the port `chat_model`.
