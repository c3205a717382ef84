//! What columns are called, in the data sets people share and in a few languages.

use super::Role;

/// Names in lower case without blanks, `_` and `-`. The first match wins.
const NAMES: &[(Role, &[&str])] = &[
    (
        Role::Messages,
        &["messages", "conversations", "conversation", "chat", "dialogue", "dialog", "turns", "chatmessages"],
    ),
    (Role::Chosen, &["chosen", "preferred", "chosenresponse", "better", "accepted", "win", "winner"]),
    (Role::Rejected, &["rejected", "dispreferred", "rejectedresponse", "worse", "lose", "loser"]),
    (Role::System, &["system", "systemprompt", "systemmessage"]),
    (
        Role::Instruction,
        &["instruction", "instructions", "task", "anweisung", "talimat", "instrucción", "инструкция", "指令"],
    ),
    (
        Role::Input,
        &["input", "context", "inputs", "eingabe", "girdi", "contexte", "kontext", "контекст", "输入"],
    ),
    (
        Role::Output,
        &[
            "output",
            "outputs",
            "response",
            "responses",
            "ausgabe",
            "çıktı",
            "salida",
            "sortie",
            "вывод",
            "输出",
        ],
    ),
    (
        Role::Prompt,
        &["prompt", "prompts", "source", "src", "query", "userprompt", "user", "request", "human"],
    ),
    (
        Role::Completion,
        &[
            "completion",
            "completions",
            "target",
            "tgt",
            "reply",
            "assistant",
            "generation",
            "continuation",
            "gpt",
        ],
    ),
    (
        Role::Question,
        &["question", "questions", "q", "frage", "pregunta", "soru", "domanda", "вопрос", "问题", "質問"],
    ),
    (
        Role::Answer,
        &[
            "answer",
            "answers",
            "a",
            "antwort",
            "respuesta",
            "réponse",
            "reponse",
            "cevap",
            "yanıt",
            "risposta",
            "ответ",
            "答案",
            "回答",
        ],
    ),
    (
        Role::Second,
        &[
            "text2",
            "textb",
            "secondtext",
            "sentence2",
            "sentenceb",
            "positive",
            "paraphrase",
            "hypothesis",
            "similar",
        ],
    ),
    (Role::Negative, &["negative", "hardnegative", "unlike", "dissimilar"]),
    (
        Role::Text,
        &[
            "text",
            "text1",
            "texta",
            "firsttext",
            "sentence1",
            "sentencea",
            "anchor",
            "premise",
            "content",
            "document",
            "sentence",
            "body",
            "passage",
            "review",
            "tweet",
            "comment",
            "paragraph",
            "metin",
            "texto",
            "texte",
            "testo",
            "текст",
            "文本",
        ],
    ),
    (
        Role::Label,
        &[
            "label",
            "labels",
            "class",
            "category",
            "sentiment",
            "classification",
            "tag",
            "intent",
            "topic",
            "emotion",
            "etiket",
            "duygu",
            "kategorie",
            "kategori",
            "categoria",
            "étiquette",
            "метка",
            "класс",
            "标签",
        ],
    ),
    (
        Role::Score,
        &[
            "score",
            "rating",
            "stars",
            "grade",
            "points",
            "puan",
            "bewertung",
            "puntuación",
            "note",
            "оценка",
            "分数",
        ],
    ),
    (
        Role::Group,
        &["group", "groupid", "documentid", "docid", "conversationid", "sessionid", "threadid", "userid"],
    ),
];

/// The role that a column's name tells.
pub(super) fn role_of(name: &str) -> Option<Role> {
    let plain: String = name
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-' | '.'))
        .flat_map(char::to_lowercase)
        .collect();
    NAMES.iter().find(|(_, names)| names.contains(&plain.as_str())).map(|(role, _)| *role)
}

/// Whether a cell of the first row is a name rather than data.
pub(in crate::data) fn is_known_name(cell: &str) -> bool {
    // Letters alone are also answers in a list of choices.
    cell.trim().chars().count() > 1 && role_of(cell).is_some()
}
