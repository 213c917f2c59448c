"""Lints answers with httplint. It runs in the suites' own environment, as a program.

A line of input is one answer, as JSON; a line of output is one note on it that is a fault.
"""

import json
import sys
import time

from httplint import HttpResponseLinter
from httplint.note import levels


def main() -> None:
    """Read answers, print notes."""
    for line in sys.stdin:
        answer = json.loads(line)
        linter = HttpResponseLinter(start_time=time.time(), no_content=answer["method"] == "HEAD")
        status, reason = str(answer["status"]).encode(), answer["reason"].encode()
        linter.process_response_topline(b"HTTP/1.1", status, reason)
        linter.process_headers(
            [(name.encode(), value.encode()) for name, value in answer["fields"]]
        )
        linter.feed_content(answer["body"].encode())
        linter.finish_content(True)
        for note in linter.notes:
            # What a status says of the request is no fault of the answer.
            is_of_status = type(note).__module__ == "httplint.status"
            if note.level in (levels.BAD, levels.WARN) and not is_of_status:
                print(f"{note.level.name} {answer['name']}: {note.summary}")


if __name__ == "__main__":
    main()
