from onlygood.runtime.watch.metrics import Metric, each, exposition, one


def test_by_hand() -> None:
    metrics = [
        each("rows_total", "counter", "Rows.", "status", {"normal": 3, "anomalous": 0}),
        one("threshold", "gauge", "Scores above\nare \\ anomalous.", 0.85),
        one("alive", "gauge", "Alive.", True, name='a "b"\\\n', version="1"),
        Metric("none", "gauge", "Has no value."),
    ]
    assert exposition(metrics) == (
        "# HELP rows_total Rows.\n"
        "# TYPE rows_total counter\n"
        'rows_total{status="normal"} 3\n'
        'rows_total{status="anomalous"} 0\n'
        "# HELP threshold Scores above\\nare \\\\ anomalous.\n"
        "# TYPE threshold gauge\n"
        "threshold 0.85\n"
        "# HELP alive Alive.\n"
        "# TYPE alive gauge\n"
        'alive{name="a \\"b\\"\\\\\\n",version="1"} 1\n'
    )
