"""Metrics and their page, with lines recorded from tensorflow_model_server 2.20 (monitoring.jsonl)."""

import threading
import timeit

import pytest

from serving.metrics import LATENCY_BOUNDS, Counter, Gauge, Histogram, Registry, ServerMetrics, exponential

ALWAYS = """\
# TYPE :tensorflow:cc:saved_model:load_attempt_count counter
# TYPE :tensorflow:cc:saved_model:load_latency counter
# TYPE :tensorflow:cc:saved_model:load_latency_by_stage histogram
# TYPE :tensorflow:serving:batching_session:queuing_latency histogram
# TYPE :tensorflow:serving:batching_session:wrapped_run_count counter
# TYPE :tensorflow:serving:mlmd_map gauge
# TYPE :tensorflow:serving:model_warmup_latency histogram
# TYPE :tensorflow:serving:model_warmup_records_read counter
# TYPE :tensorflow:serving:request_count counter
# TYPE :tensorflow:serving:request_example_count_total counter
# TYPE :tensorflow:serving:request_example_counts histogram
# TYPE :tensorflow:serving:request_latency histogram
# TYPE :tensorflow:serving:request_log_count counter
# TYPE :tensorflow:serving:runtime_latency histogram
"""

LIMITS = [
    *("10", "18", "32.4", "58.32", "104.976", "188.957", "340.122", "612.22", "1102", "1983.59", "3570.47", "6426.84"),
    *("11568.3", "20823", "37481.3", "67466.4", "121440", "218591", "393464", "708235", "1.27482e+06", "2.29468e+06"),
    *("4.13043e+06", "7.43477e+06", "1.33826e+07", "2.40887e+07", "4.33596e+07", "7.80473e+07", "1.40485e+08"),
    *("2.52873e+08", "4.55172e+08", "8.19309e+08", "1.47476e+09", "+Inf"),
]


def test_a_server_names_its_metrics_before_they_are_used():
    assert ServerMetrics().expose() == ALWAYS


def test_batch_sizes_are_named_once_there_is_a_batch():
    metrics = ServerMetrics()
    metrics.input_batch_size.record((), 1)
    metrics.processed_batch_size.record((), 2)
    metrics.padding_size.record(("2",), 1)
    lines = metrics.expose().splitlines()
    assert "# TYPE :tensorflow:serving:batching_session:input_batch_size histogram" in lines
    assert ":tensorflow:serving:batching_session:input_batch_size_count{} 1" in lines
    assert ":tensorflow:serving:batching_session:processed_batch_size_sum{} 2" in lines
    assert ':tensorflow:serving:batching_session:padding_size_count{execution_batch_size="2"} 1' in lines
    assert ':tensorflow:serving:batching_session:input_batch_size_bucket{le="8192"} 1' in lines  # 14 bounds from 1


def test_counters_have_a_line_for_each_combination_of_labels():
    metrics = ServerMetrics()
    metrics.request_count.add(("nope", "NOT_FOUND"))
    metrics.request_count.add(("half_plus_two", "OK"), 3)
    metrics.request_count.add(("half_plus_two", "OK"))
    metrics.request_count.add(("", "INVALID_ARGUMENT"))
    metrics.wrapped_run_count.add()
    page = metrics.expose()
    assert (
        "# TYPE :tensorflow:serving:request_count counter\n"
        ':tensorflow:serving:request_count{model_name="",status="INVALID_ARGUMENT"} 1\n'
        ':tensorflow:serving:request_count{model_name="half_plus_two",status="OK"} 4\n'
        ':tensorflow:serving:request_count{model_name="nope",status="NOT_FOUND"} 1\n'
    ) in page
    assert ":tensorflow:serving:batching_session:wrapped_run_count{} 1\n" in page


def test_a_histogram_counts_up_to_each_limit():
    metrics = ServerMetrics()
    for microseconds in (3, 10, 25.5, 2e9):
        metrics.request_latency.record(("half_plus_two", "Predict", "GRPC"), microseconds)
    labels = 'model_name="half_plus_two",API="Predict",entrypoint="GRPC"'
    counts = [1, 2, *[3] * 31, 4]  # a value that equals a bound lies above it
    assert [
        line for line in metrics.expose().splitlines() if line.startswith(":tensorflow:serving:request_latency")
    ] == [
        *(
            f':tensorflow:serving:request_latency_bucket{{{labels},le="{limit}"}} {count}'
            for limit, count in zip(LIMITS, counts, strict=True)
        ),
        f":tensorflow:serving:request_latency_sum{{{labels}}} 2e+09",
        f":tensorflow:serving:request_latency_count{{{labels}}} 4",
    ]


def test_a_gauge_is_set():
    gauge = Gauge("/g", ("a",))
    gauge.set(("x",), 5)
    gauge.set(("x",), 3)
    assert gauge.lines() == ["# TYPE :g gauge", ':g{a="x"} 3']


def test_label_values_cannot_break_out():
    counter = Counter("/c-d", ("a",))
    counter.add(('"\\\n',))
    assert counter.lines()[1] == ':c:d{a="\\"\\\\\\n"} 1'


def test_labels_must_be_as_many_as_their_names():
    counter = Counter("/c", ("a", "b"))
    counter.add(("x",))
    with pytest.raises(ValueError, match="zip"):
        counter.lines()


def test_bounds():
    assert len(LATENCY_BOUNDS) == 33
    assert exponential(1, 2, 4) == (1, 2, 4, 8)


def test_the_page_is_ordered_by_name_and_a_name_is_used_once():
    registry = Registry()
    assert registry.expose() == "\n"
    registry.register(Counter("/b"))
    registry.register(Counter("/a"))
    assert registry.expose() == "# TYPE :a counter\n# TYPE :b counter\n"
    with pytest.raises(ValueError, match="two metrics are called /a"):
        registry.register(Gauge("/a"))


def test_increases_are_those_of_the_first_cell_under_the_names_of_tensorflow():
    metrics = ServerMetrics()
    metrics.request_count.add(("m", "OK"), 5)
    metrics.request_count.add(("m", "NOT_FOUND"), 2)
    names = ["nope", "/tensorflow/serving/request_count", ":tensorflow:serving:request_count", "nope"]
    before = metrics.snapshot([*names, "/tensorflow/serving/request_latency"])
    assert before == {
        "/tensorflow/serving/request_count": 2,  # NOT_FOUND comes before OK
        "/tensorflow/serving/request_latency": 0,
        ":tensorflow:serving:request_count": 0,
        "nope": 0,
    }
    metrics.request_count.add(("m", "OK"))
    metrics.request_count.add(("m", "NOT_FOUND"), 4)
    metrics.request_latency.record(("m", "Predict", "GRPC"), 7)
    increases = metrics.increase_since(before)
    assert list(increases) == sorted(before)
    assert increases == {**dict.fromkeys(before, 0), "/tensorflow/serving/request_count": 4}


def test_threads_lose_nothing():
    counter, histogram = Counter("/c", ("a",)), Histogram("/h", ("a",))

    def work():
        for _ in range(2000):
            counter.add(("x",))
            histogram.record(("x",), 20)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    histogram.lines()
    for thread in threads:
        thread.join()
    assert counter.lines()[-1] == ':c{a="x"} 16000'
    assert histogram.lines()[-2:] == [':h_sum{a="x"} 320000', ':h_count{a="x"} 16000']


def test_recording_costs_little():
    histogram = Histogram("/h", ("a", "b", "c"))
    seconds = min(timeit.repeat(lambda: histogram.record(("m", "Predict", "GRPC"), 812.5), number=2000, repeat=5))
    assert seconds / 2000 < 20e-6  # half a microsecond; room for a busy machine
