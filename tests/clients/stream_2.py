"""What the official Python client of the next generation hears of one stream: stream_2.py INPUT."""

import json
import sys
import warnings

from replicate import Replicate

warnings.simplefilter("ignore", DeprecationWarning)  # its own, of stream()

if __name__ == "__main__":
    with Replicate() as client:
        print(json.dumps("".join(client.stream("local/small", input=json.loads(sys.argv[1])))))
