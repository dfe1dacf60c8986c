"""Annotation files as their owners write them, for the tests of the parsers."""

import json


def video(number, split="train"):
    return {
        "category": 1,
        "url": "",
        "video_id": f"video{number}",
        "start time": 0.0,
        "end time": 1.0,
        "split": split,
        "id": number,
    }


MSRVTT = {
    "info": {},
    "videos": [video(0), video(1, "validate"), video(2, "test")],
    "sentences": [
        {"caption": " a  cat\n", "video_id": "video2", "sen_id": 7},
        {"caption": "ein Hünd", "video_id": "video0", "sen_id": 8},
        {"caption": "a dog", "video_id": "video1", "sen_id": 9},
    ],
}


def write(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
        return path
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path
