"""make bench: every benchmark, one after the other, each against hand-written SQL in the same run."""

from tests.bench import dimension, facts, ingest, load, numbers

if __name__ == "__main__":
    print("The load step (bronze → silver), and the same work in hand-written DuckDB SQL")
    load.main()
    print("\nThe dimension step (silver → gold), and the plain in-order SCD2 in hand-written DuckDB SQL")
    dimension.main()
    print("\nThe fact step (silver → gold), and a plain as-of join in hand-written DuckDB SQL")
    facts.main()
    print("\nThe measure step (fact → KPI)")
    numbers.main()
    print("\nHow files get there")
    ingest.main()
