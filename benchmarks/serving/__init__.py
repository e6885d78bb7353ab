"""How fast `showdown-model-server` answers, against Python servers that people write, and TensorFlow Serving itself.

``.venv/bin/python -m benchmarks.serving --write --json samples.json``

All servers have the SavedModel of ``make export`` and run side by side; one at a time is under load. A round goes
through the loads, and for each load through the servers in a shuffled order:

* REST, by wrk: showdown-model-server, examples/flask under gunicorn, FastAPI under uvicorn, TensorFlow Serving
* gRPC, by h2load: showdown-model-server, grpcio around TensorFlow's Python, an empty grpcio handler (the floor),
  TensorFlow Serving
"""
