"""Columns called as the engine calls its copies of others beside them: gold is what plain names give."""

from __future__ import annotations

import pytest

from tests.rig import rigged

SPEC = """
pipeline: desk
sources:
  trades:
    files: {prefix: trades/, format: csv}
    key: [trade]
    effective_at: at
    columns:
      trade:     {type: integer}
      side:      {type: text}
      there:     {type: text}
      price:     {type: integer}
      new_price: {type: integer}
      at:        {type: timestamp}
facts:
  fact_trades:
    from: trades
    keep: [side, there, price]
    measures: {new_fee: price * 2, fee: new_price * 3, there_trade: price}
kpis:
  by_side:  {from: fact_trades, by: [side, there], measures: {fee: sum(fee), merged_fee: sum(new_fee), there_fee: sum(price)}}
  monthly:  {from: fact_trades, period: month, by: [side], measures: {side_fee: sum(fee), desired_fee: sum(new_fee), fee: count(*)}}
"""


def test_gold_of_columns_called_as_copies(tmp_path):
    with rigged(tmp_path / "rig", SPEC) as rig:
        rig.load("trades", "trade,side,there,price,new_price,at\n1,buy,x,5,7,2024-01-10 00:00:00\n2,sell,x,1,2,2024-01-11 00:00:00\n3,buy,,4,4,2024-02-01 00:00:00\n")
        rig.run()
        rig.load("trades", "trade,side,there,price,new_price,at\n1,buy,x,6,8,2024-01-12 00:00:00\n2,buy,x,1,2,2024-01-12 00:00:00\n4,sell,,9,9,2024-03-01 00:00:00\n")
        rig.run()

        facts = rig.duck("SELECT trade, side, new_fee, fee, there_trade FROM firn.gold.fact_trades ORDER BY 1")
        by_side = rig.duck("SELECT side, there, fee, merged_fee, there_fee FROM firn.gold.by_side ORDER BY 1, 2 NULLS FIRST")
        monthly = rig.duck("SELECT month(month), side, side_fee, desired_fee, fee FROM firn.gold.monthly ORDER BY 1, 2")

    assert facts == [(1, "buy", 12, 24, 6), (2, "buy", 2, 6, 1), (3, "buy", 8, 12, 4), (4, "sell", 18, 27, 9)]
    assert by_side == [("buy", None, 12, 8, 4), ("buy", "x", 30, 14, 7), ("sell", None, 27, 18, 9)]
    assert monthly == [(1, "buy", 30, 14, 2), (2, "buy", 12, 8, 1), (3, "sell", 27, 18, 1)]


@pytest.mark.parametrize("name", ["touched_trade", "old_trade", "placed_trade", "gone_trade"])
def test_a_measure_called_as_a_copy_of_the_grain_is_refused_by_name(name):
    import spec_file

    with pytest.raises(spec_file.SpecRefused, match=f"`{name}` is what Firn calls its own copy of `trade`"):
        spec_file.parse(SPEC.replace("there_trade", name), "desk.yml")
