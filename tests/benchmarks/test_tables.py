import numpy as np
import pytest

from benchmarks.tables import read_table
from benchmarks.tables import TableError


def write(folder, text):
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_accuracies_are_turned_round_and_hyperparameters_left_out(tmp_path):
    path = write(tmp_path, "lr,accuracy_0,accuracy_1,seconds_0\n1,0.5,0.75,9\n2,0.25,0.5,9\n")
    table = read_table(path)
    assert table.losses.tolist() == [[-0.5, -0.75], [-0.25, -0.5]]
    assert (table.name, table.columns, table.direction) == ("table", "accuracy", "maximize")


def test_numbered_hyperparameters_are_kept_and_other_measurements_are_not(tmp_path):
    text = (
        "channels_1,channels_last,loss_0,loss_1,seconds_0,seconds_1\n3,4,0,1,9,9\n5, 6,0,1,9,9\n"
    )
    table = read_table(write(tmp_path, text))
    assert table.hyperparameters == (
        {"channels_1": "3", "channels_last": "4"},
        {"channels_1": "5", "channels_last": "6"},
    )


@pytest.mark.parametrize(
    ("header", "direction"),
    [
        ("ValAccuracy_1,ValAccuracy_2", "maximize"),
        ("accuracy1,accuracy2", "maximize"),
        ("loss_1,loss_2", "minimize"),
        ("val_loss_0,val_loss_1", "minimize"),
    ],
)
def test_known_prefixes_tell_the_direction(tmp_path, header, direction):
    table = read_table(write(tmp_path, f"{header}\n1,2\n3,4\n"))
    assert table.direction == direction
    sign = -1 if direction == "maximize" else 1
    assert table.losses.tolist() == [[sign * 1.0, sign * 2.0], [sign * 3.0, sign * 4.0]]


def test_columns_come_in_the_order_of_their_numbers(tmp_path):
    numbers = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    header = ",".join(f"loss_{number}" for number in numbers)
    row = ",".join(map(str, numbers))
    assert read_table(write(tmp_path, f"{header}\n{row}\n{row}\n")).losses[0].tolist() == [
        *np.arange(1.0, 11.0)
    ]


def test_prefix_and_direction_can_be_given(tmp_path):
    path = write(tmp_path, "reward_0,reward_1,loss_0,loss_1\n1,2,3,4\n5,6,7,8\n")
    table = read_table(path, columns="reward", direction="maximize")
    assert table.losses.tolist() == [[-1.0, -2.0], [-5.0, -6.0]]


def test_rows_can_be_chosen_by_text_and_by_number(tmp_path):
    path = write(tmp_path, "size,kind,loss_0,loss_1\n10,a,1,2\n10.0,a,3,4\n20,a,5,6\n10,b,7,8\n")
    table = read_table(path, where={"size": "10", "kind": "a"})
    assert table.losses.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert table.name == "table, size=10, kind=a"


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("loss_0,loss_1\n1,2\n1,\n3,4\n", {}, r"in line\(s\) 3: the first is loss_1 = ''"),
        ("loss_0,loss_1\n1,2\n1,nan\n3,4\n", {}, "loss_1 = 'nan'.*diverged give a finite number"),
        ("loss_0,loss_1\n1,2\n1\n3,4\n", {}, r"another number of cells in line\(s\) 3"),
        ("loss_0,loss_1\n1,2\n3,4\n", {"columns": "reward"}, "no numbered columns reward_"),
        ("a,b\n1,2\n3,4\n", {}, "--columns: none is known"),
        ("loss_0,loss_1,acc_0,acc_1\n1,2,3,4\n", {}, "there are loss and acc"),
        ("loss_0,loss_2\n1,2\n3,4\n", {}, r"number\(s\) 1 miss"),
        ("loss_0,x\n1,2\n3,4\n", {}, "at least 2 instances"),
        ("loss_0,loss_1\n1,2\n", {}, "at least 2 models"),
        ("x,loss_0,loss_1\n1,1,2\n1,3,4\n", {"where": {"y": "1"}}, "no column 'y'; it has x"),
        ("x,loss_0,loss_1\n1,1,2\n1,3,4\n", {"where": {"x": "2"}}, r"0 row\(s\) with x=2"),
        ("loss_0,loss_1,loss_1\n1,2,3\n", {}, "'loss_1' more than once"),
        ("", {}, "--columns: none is known"),
    ],
)
def test_bad_tables_are_refused_with_the_reason(tmp_path, text, options, message):
    with pytest.raises(TableError, match=message):
        read_table(write(tmp_path, text), **options)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(TableError, match=r"none\.csv cannot be read"):
        read_table(tmp_path / "none.csv")
