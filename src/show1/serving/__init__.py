"""Videos over HTTP: a job store, workers, the API and a web page. Nothing here imports torch but the worker's engine."""
