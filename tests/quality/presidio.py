"""Presidio's recognisers on labelled texts, for `cargo xtask bench guards`.

Reads a file of lines `{"id", "text", …}` and prints a line `{"id", "finds": [[type, start, end], …]}` for each, with
offsets in characters. The recognisers alone, without a model of language and without context words, as the listed
baseline was taken; finds below the threshold are dropped.
"""

import json
import sys

import tldextract

from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    PhoneRecognizer,
    UsSsnRecognizer,
)

# Domains are told by the list that comes with the package: nothing is fetched.
tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=())

THRESHOLD = 0.3
RECOGNIZERS = {
    "CREDIT_CARD": CreditCardRecognizer(),
    "EMAIL": EmailRecognizer(),
    "IBAN": IbanRecognizer(),
    "IP": IpRecognizer(),
    "PHONE": PhoneRecognizer(),
    "US_SSN": UsSsnRecognizer(),
}


def finds(text):
    for kind, recognizer in RECOGNIZERS.items():
        for result in recognizer.analyze(text, recognizer.supported_entities, None) or []:
            if result.score >= THRESHOLD:
                yield [kind, result.start, result.end]


def main():
    with open(sys.argv[1], encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            found = sorted(finds(row["text"]), key=lambda find: find[1:])
            print(json.dumps({"id": row["id"], "finds": found}))


if __name__ == "__main__":
    main()
