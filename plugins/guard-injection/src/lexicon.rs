//! Words that prompt injections are made of, by what they are for, and the pairs of them that tell most.
//!
//! Groups rather than words are what generalises: a model of words alone recognises where a text came from.

/// Words of one use; a word may be in several groups. Lowercase, without apostrophes, separated by spaces.
pub(crate) const GROUPS: &[(&str, &str)] = &[
    (
        "forget",
        "ignore ignores ignoring ignored disregard disregards disregarding forget forgot forgetting forgotten \
         override overrides bypass bypasses bypassing neglect overlook discard dismiss omit circumvent ignor \
         ignroe vergiss vergessen vergesse ignoriere ignorieren ignoriert missachte missachten übergehe \
         ignora ignorez ignorar olvida olvide olvidar oublie oubliez dimentica zaboravi zaboravite ignoriši \
         esqueça negeer vergeet забудь игнорируй",
    ),
    (
        "prior",
        "previous previously prior above earlier preceding before beforehand foregoing initial original \
         existing former past davor vorherigen vorherige bisherigen bisherige vorher zuvor obigen bisher \
         gesagte gesagt anteriores anterior previas précédentes précédente prethodne dosadašnje written",
    ),
    (
        "all",
        "all everything any every anything alle alles allem sämtliche todo todas todos tout toutes sve \
         whatever entire",
    ),
    (
        "rules",
        "instruction instructions rule rules guideline guidelines directive directives directions command \
         commands order orders constraint constraints restriction restrictions limitation limitations policy \
         policies anweisung anweisungen regeln befehle befehl vorgaben instrucciones órdenes reglas règles \
         consignes instrukcije pravila assignments informationen information",
    ),
    (
        "prompt",
        "prompt prompts preprompt promptreveal sysprompt context conversation chat eingabeaufforderung \
         prompttext prompttexte aufforderung",
    ),
    (
        "system",
        "system initialization configuration config backend internal hidden metadata systemprompt \
         systemnachricht",
    ),
    (
        "secret",
        "password passwords passphrase passcode secret secrets secretkey confidential credentials passwort \
         kennwort geheim contraseña private sensitive",
    ),
    ("key", "key keys token tokens code codes"),
    (
        "show",
        "show reveal print output display repeat tell give spell leak dump share disclose expose recite \
         return echo list summarize write say zeige zeig gib nenne drucke wiederhole verrate schreibe sag \
         muestra dime revela montre affiche translate explain provide",
    ),
    ("what", "what whats which where was welche"),
    ("you", "you u du ihr sie tu usted vous tú"),
    (
        "your",
        "your ur yours dein deine deinen deiner deinem ihre ihren tus votre",
    ),
    ("youare", "youre are bist sind eres"),
    (
        "now",
        "now nun jetzt ab ahora maintenant immediately onwards henceforth sofort sada",
    ),
    (
        "new",
        "new neue neuen neuer neues nueva nuevas nuevo nouvelles nouvelle following folgen folgende folgenden \
         weitere next instead stattdessen actually",
    ),
    (
        "task",
        "task tasks job mission objective goal assignment aufgabe aufgaben tarea tareas tâche tâches focus \
         konzentrieren konzentriere start begin beginnen anfang starten",
    ),
    (
        "pretend",
        "pretend pretending act acting roleplay role imagine simulate simulating simulation impersonate \
         persona play playing emulate behave fungieren agieren spiele tun schauspieler rolle actúa finge \
         imagina agis stell character scenario hypothetical fictional",
    ),
    ("as", "as like als como comme to be"),
    (
        "jailbreak",
        "jailbreak jailbroken jailbreaked dan stan dude aim mongo unfiltered uncensored unrestricted amoral \
         immoral unethical illegal nsfw filterless evil hateful devmode antigpt",
    ),
    (
        "nolimit",
        "anything restrictions filters filter limits boundaries censorship moral morals ethical ethics ethic \
         morality legality guidelines safeguards disclaimers disclaimer warnings consequences freed free \
         freedom",
    ),
    (
        "not",
        "no not never without dont doesnt cannot cant wont nicht keine kein ohne nunca sin sans ne",
    ),
    (
        "refuse",
        "refuse refuses refusing decline deny comply obey sorry apologize apologise warning refusal avoid",
    ),
    (
        "ai",
        "chatgpt gpt openai ai llm chatbot bot assistant model language anthropic bing bard claude gpt4 gpt3 \
         ki assistent",
    ),
    (
        "mode",
        "mode developer debug maintenance admin administrator root sudo superuser privileged operator modus \
         god unlock unlocked enabled activated activate",
    ),
    (
        "auth",
        "authorized authorised authority permission verified clearance audit urgent emergency president ceo \
         creator developers engineer owner official law",
    ),
    (
        "encode",
        "base64 rot13 hex binary encode encoded decode encrypted decrypt cipher caesar reverse reversed \
         backwards leetspeak emoji emojis ascii morse obfuscated substitution interlace concatenate \
         homophonic anagram",
    ),
    (
        "answer",
        "answer answers response responses reply replies output respond solution message messages antwort \
         antworten antworte respuesta réponse outputs completion",
    ),
    (
        "include",
        "include insert append add embed incorporate ensure integrate inject modify alter change replace \
         utilize use prefix end finish rewrite render hint mention",
    ),
    ("user", "user users customer client person employee someone"),
    (
        "personal",
        "address birthday phone email age city residence name location live lives ssn account bank medical \
         salary income birth",
    ),
    (
        "stay",
        "stay remain always must mandatory never continue until exactly only",
    ),
    (
        "answerme",
        "answer tell question questions frage fragen beantworte beantworten",
    ),
    (
        "stop",
        "stop end ende halt stopp wait finished done attention achtung pause",
    ),
    (
        "code",
        "python interpreter code execute exec eval script run command terminal linux import subprocess \
         snippet function http client requests exe download",
    ),
    ("url", "http https www com link click url website visit io"),
    (
        "told",
        "told said given instructed written asked received learned gesagt",
    ),
    (
        "urgent",
        "important urgently urgent crucial critical please need help attention",
    ),
    (
        "harm",
        "kill destroy hack bomb weapon drugs steal murder attack virus malware exploit humanity hate racist \
         insult fuck shit bitch ass doof kidnap töte hass",
    ),
    (
        "good",
        "great excellent job well bravo gut ausgezeichnet leistung super toll",
    ),
];
/// A word of the first group and, at most `WITHIN` words later, one of the second, each pair with what it speaks for.
pub(crate) const SIGNALS: &[(&str, &str, &str)] = &[
    ("forget", "prior", "override"),
    ("forget", "all", "override"),
    ("forget", "rules", "override"),
    ("forget", "told", "override"),
    ("forget", "prompt", "override"),
    ("prior", "rules", "override"),
    ("show", "prompt", "extract"),
    ("show", "system", "extract"),
    ("show", "secret", "extract"),
    ("show", "rules", "extract"),
    ("what", "secret", "extract"),
    ("your", "prompt", "extract"),
    ("your", "secret", "extract"),
    ("your", "rules", "extract"),
    ("your", "system", "extract"),
    ("system", "prompt", "extract"),
    ("now", "new", "new-task"),
    ("new", "task", "new-task"),
    ("you", "nolimit", "role"),
    ("pretend", "ai", "role"),
];

/// What signals speak for, in the order of reports.
pub(crate) const INTENTS: [&str; 4] = ["override", "extract", "new-task", "role"];

/// Words between the two of a pair, at most, the second included.
pub(crate) const WITHIN: usize = 5;
