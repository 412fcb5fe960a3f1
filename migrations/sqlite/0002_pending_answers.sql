-- Who follows a conversation asks for its unfinished answers at every question.
CREATE INDEX messages_pending ON messages (conversation_id) WHERE state = 'pending';
