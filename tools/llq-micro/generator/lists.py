# SPDX-License-Identifier: Apache-2.0
"""Steps that start from a list of integers or a table of them."""

from .stage import fixed

SAME = [  # list to list
    (2, fixed("sort", "L", "sort the numbers in ascending order|sort them from "
              "smallest to largest", "@ sorted in ascending order",
              "sorted(@)")),
    (2, fixed("sortdown", "L", "sort the numbers in descending order|sort them "
              "from largest to smallest", "@ sorted in descending order",
              "sorted(@, reverse=True)")),
    (1, fixed("sortabs", "L", "sort the numbers by absolute value",
              "@ sorted by absolute value", "sorted(@, key=abs)")),
    (1, fixed("sortlast", "L", "sort the numbers by their last digit|order them "
              "by last digit", "@ sorted by last digit",
              "sorted(@, key=lambda $: abs($) % 10)")),
    (1, fixed("sortdigits", "L", "sort the numbers by the sum of their digits|"
              "order them by digit sum", "@ sorted by digit sum",
              "sorted(@, key=lambda $: sum(map(int, str(abs($)))))")),
    (2, fixed("reverse", "L", "reverse the list|reverse the order",
              "@ in reverse order|the reverse of @", "@[::-1]")),
    (2, fixed("firstk", "L", "keep the first K of them|take only the first K "
              "elements", "the first K elements of @", "@[:K]", 2, 4)),
    (2, fixed("lastk", "L", "keep the last K of them|take only the last K "
              "elements", "the last K elements of @", "@[-K:]", 2, 4)),
    (1, fixed("skipk", "L", "skip the first K of them|drop the first K "
              "elements", "@ without its first K elements", "@[K:]", 1, 3)),
    (1, fixed("cutk", "L", "drop the last K elements|cut off the last K "
              "elements", "@ without its last K elements", "@[:-K]", 1, 3)),
    (1, fixed("everyk", "L", "keep every K-th element, starting with the "
              "first", "every K-th element of @, starting with the first",
              "@[::K]", 2, 3)),
    (1, fixed("oddplaces", "L", "keep the elements at odd indices",
              "the elements of @ at odd indices", "@[1::2]")),
    (2, fixed("unique", "L", "remove duplicates, keeping the first occurrence "
              "of each|drop repeated values but keep the order",
              "the distinct values of @ in order of first appearance",
              "list(dict.fromkeys(@))")),
    (1, fixed("sortedunique", "L", "sort the distinct values|remove duplicates "
              "and sort", "the distinct values of @ in ascending order",
              "sorted(set(@))")),
    (1, fixed("once", "L", "keep only the values that occur exactly once|drop "
              "every value that occurs more than once",
              "the values that occur exactly once in @",
              "[$ for $ in @ if @.count($) == 1]")),
    (2, fixed("runningsum", "L", "replace the list by its running totals|take "
              "the cumulative sums", "the running totals of @|the cumulative "
              "sums of @", "[sum(@[:i + 1]) for i in range(len(@))]")),
    (1, fixed("runningmax", "L", "replace each element by the largest one seen "
              "so far|take the running maximum", "the running maximum of @",
              "[max(@[:i + 1]) for i in range(len(@))]")),
    (1, fixed("runningmin", "L", "replace each element by the smallest one seen "
              "so far|take the running minimum", "the running minimum of @",
              "[min(@[:i + 1]) for i in range(len(@))]")),
    (2, fixed("differences", "L", "take the differences of neighbouring "
              "elements (next minus current)|subtract each element from the "
              "one after it", "the differences between each element of @ and "
              "the one before it", "[b - a for a, b in zip(@, @[1:])]")),
    (1, fixed("neighboursums", "L", "add up each pair of neighbouring "
              "elements|take the sums of adjacent elements",
              "the sums of adjacent elements of @",
              "[a + b for a, b in zip(@, @[1:])]")),
    (1, fixed("neighbourproducts", "L", "multiply each pair of neighbouring "
              "elements|take the products of adjacent elements",
              "the products of adjacent elements of @",
              "[a * b for a, b in zip(@, @[1:])]")),
    (1, fixed("neighbourmax", "L", "take the larger of each pair of neighbours",
              "the larger of each two adjacent elements of @",
              "[max(a, b) for a, b in zip(@, @[1:])]")),
    (1, fixed("rising", "L", "keep the elements that are greater than the one "
              "before them", "the elements of @ that are greater than the one "
              "before them", "[b for a, b in zip(@, @[1:]) if b > a]")),
    (1, fixed("falling", "L", "keep the elements that are less than the one "
              "before them", "the elements of @ that are less than the one "
              "before them", "[b for a, b in zip(@, @[1:]) if b < a]")),
    (1, fixed("rotate", "L", "rotate the list to the left by K|move the first "
              "K elements to the end", "@ rotated to the left by K",
              "@[K:] + @[:K]", 1, 3)),
    (1, fixed("rotateright", "L", "rotate the list to the right by K|move the "
              "last K elements to the front", "@ rotated to the right by K",
              "@[-K:] + @[:-K]", 1, 3)),
    (1, fixed("windows", "L", "take the sums of all windows of K consecutive "
              "elements", "the sums of all windows of K consecutive elements "
              "of @", "[sum(@[i:i + K]) for i in range(len(@) - K + 1)]",
              2, 4)),
    (1, fixed("windowmax", "L", "take the largest element of each window of K "
              "consecutive elements", "the maxima of all windows of K "
              "consecutive elements of @",
              "[max(@[i:i + K]) for i in range(len(@) - K + 1)]", 2, 4)),
    (1, fixed("chunks", "L", "split the list into chunks of K and add up each "
              "chunk", "the sums of consecutive chunks of K elements of @",
              "[sum(@[i:i + K]) for i in range(0, len(@), K)]", 2, 3)),
    (1, fixed("weighted", "L", "multiply each element by its position, counting "
              "from 1", "the elements of @ multiplied by their positions, "
              "counting from 1", "[i * $ for i, $ in enumerate(@, 1)]")),
    (1, fixed("plusindex", "L", "add to each element its index|add its index to "
              "each element", "the elements of @ with their indices added",
              "[i + $ for i, $ in enumerate(@)]")),
    (1, fixed("mirror", "L", "append the reversed list to it|follow the list by "
              "its reverse", "@ followed by its reverse", "@ + @[::-1]")),
    (1, fixed("twice", "L", "repeat every element twice in a row",
              "@ with every element repeated twice",
              "[$ for $ in @ for _ in range(2)]")),
    (1, fixed("dropmax", "L", "remove every occurrence of the largest value",
              "@ without its largest value", "[$ for $ in @ if $ != max(@)]")),
    (1, fixed("dropmin", "L", "remove every occurrence of the smallest value",
              "@ without its smallest value",
              "[$ for $ in @ if $ != min(@)]")),
    (1, fixed("frommax", "L", "subtract each element from the largest one",
              "the distances of the elements of @ from its maximum",
              "[max(@) - $ for $ in @]")),
    (1, fixed("abovemean", "L", "keep the elements greater than the average|"
              "keep the elements above the mean",
              "the elements of @ above their average",
              "[$ for $ in @ if $ * len(@) > sum(@)]")),
    (1, fixed("collapse", "L", "collapse runs of equal neighbours into one "
              "element|drop each element equal to the one just before it",
              "@ with runs of equal neighbours collapsed",
              "[$ for i, $ in enumerate(@) if i == 0 or $ != @[i - 1]]")),
    (1, fixed("ranks", "L", "replace each element by how many elements are "
              "smaller than it", "for each element of @, the number of smaller "
              "elements", "[sum(1 for y in @ if y < $) for $ in @]")),
    (1, fixed("swappairs", "L", "swap the first half with the second half (the "
              "middle one goes to the second half)",
              "@ with its two halves exchanged",
              "@[len(@) // 2:] + @[:len(@) // 2]")),
    (1, fixed("suffixsums", "L", "replace each element by the sum of it and "
              "everything after it", "the suffix sums of @",
              "[sum(@[i:]) for i in range(len(@))]")),
]

DOWN = [  # list to something smaller
    (4, fixed("sum", "I", "add them up|sum them up|compute the total",
              "the sum of @|the total of @", "sum(@)", value=True)),
    (2, fixed("product", "I", "multiply them together", "the product of @",
              "math.prod(@)", value=True)),
    (3, fixed("max", "I", "take the largest one (0 if there is none)",
              "the largest of @, or 0 if there is none|the maximum of @ (0 for "
              "an empty list)", "max(@, default=0)", value=True)),
    (3, fixed("min", "I", "take the smallest one (0 if there is none)",
              "the smallest of @, or 0 if there is none|the minimum of @ (0 "
              "for an empty list)", "min(@, default=0)", value=True)),
    (2, fixed("len", "I", "count them", "the number of elements in @|how many "
              "elements @ has", "len(@)", value=True)),
    (2, fixed("distinct", "I", "count the distinct values",
              "the number of distinct values in @|how many different values @ "
              "has", "len(set(@))", value=True)),
    (2, fixed("spread", "I", "take the difference between the largest and the "
              "smallest (0 if there are none)", "the difference between the "
              "largest and the smallest of @ (0 for an empty list)",
              "max(@) - min(@) if @ else 0", value=True)),
    (1, fixed("sumsquares", "I", "add up their squares",
              "the sum of the squares of @", "sum($ * $ for $ in @)",
              value=True)),
    (1, fixed("sumabs", "I", "add up their absolute values",
              "the sum of the absolute values of @",
              "sum(abs($) for $ in @)", value=True)),
    (1, fixed("average", "I", "take the average, rounded down (0 if there are "
              "none)", "the average of @ rounded down (0 for an empty list)",
              "sum(@) // len(@) if @ else 0", value=True)),
    (1, fixed("median", "I", "take the lower median (0 if there are none)",
              "the lower median of @ (0 for an empty list)",
              "sorted(@)[(len(@) - 1) // 2] if @ else 0", value=True)),
    (1, fixed("argmax", "I", "find the index of the first largest element (-1 "
              "if there are none)", "the index of the first largest element "
              "of @ (-1 for an empty list)",
              "@.index(max(@)) if @ else -1", value=True)),
    (1, fixed("argmin", "I", "find the index of the first smallest element (-1 "
              "if there are none)", "the index of the first smallest element "
              "of @ (-1 for an empty list)",
              "@.index(min(@)) if @ else -1", value=True)),
    (1, fixed("alternate", "I", "add and subtract them in turn, starting with "
              "a plus", "the alternating sum of @, starting with a plus",
              "sum(@[::2]) - sum(@[1::2])", value=True)),
    (1, fixed("evenplaces", "I", "add up the elements at even indices",
              "the sum of the elements at even indices of @", "sum(@[::2])",
              value=True)),
    (1, fixed("second", "I", "find the second largest distinct value (-1 if "
              "there is none)", "the second largest distinct value of @ (-1 if "
              "there is none)",
              "sorted(set(@))[-2] if len(set(@)) > 1 else -1", value=True)),
    (1, fixed("gcd", "I", "compute their greatest common divisor",
              "the greatest common divisor of @", "math.gcd(*@)",
              value=True)),
    (1, fixed("common", "I", "find the most common value, the smallest on a tie "
              "(0 if there are none)", "the most common value of @, the "
              "smallest on a tie (0 for an empty list)",
              "min(@, key=lambda $: (-@.count($), $), default=0)",
              value=True)),
    (1, fixed("closest", "I", "find the one closest to K, the earliest on a tie "
              "(0 if there are none)", "the element of @ closest to K, the "
              "earliest on a tie (0 for an empty list)",
              "min(@, key=lambda $: abs($ - K), default=0)", 3, 20,
              value=True)),
    (1, fixed("ascents", "I", "count how often an element is greater than the "
              "one before it", "how often an element of @ is greater than the "
              "one before it", "sum(1 for a, b in zip(@, @[1:]) if b > a)",
              value=True)),
    (1, fixed("pairsum", "I", "count the pairs of elements at different "
              "positions that add up to K", "the number of pairs of elements "
              "of @ at different positions that add up to K",
              ("out = 0", "for i in range(len(@)):",
               "    for j in range(i + 1, len(@)):",
               "        if @[i] + @[j] == K:", "            out += 1"), 5, 30,
              value=True)),
    (1, fixed("pairdiff", "I", "count the pairs of elements at different "
              "positions that differ by K", "the number of pairs of elements "
              "of @ at different positions that differ by exactly K",
              ("out = 0", "for i in range(len(@)):",
               "    for j in range(i + 1, len(@)):",
               "        if abs(@[i] - @[j]) == K:", "            out += 1"),
              1, 6, value=True)),
    (1, fixed("inversions", "I", "count the pairs where an earlier element is "
              "greater than a later one", "the number of pairs in @ where an "
              "earlier element is greater than a later one",
              ("out = 0", "for i in range(len(@)):",
               "    for j in range(i + 1, len(@)):",
               "        if @[i] > @[j]:", "            out += 1"),
              value=True)),
    (1, fixed("until", "I", "count how many leading elements it takes for the "
              "sum to reach K (-1 if it never does)", "how many leading "
              "elements of @ it takes for their sum to reach K (-1 if it never "
              "does)", ("total = 0", "out = -1",
                        "for i, $ in enumerate(@):", "    total += $",
                        "    if total >= K:", "        out = i + 1",
                        "        break"), 10, 60, value=True)),
    (1, fixed("bestrun", "I", "find the largest sum of a run of consecutive "
              "elements (0 if all are negative)", "the largest sum of a run "
              "of consecutive elements of @ (0 if all are negative)",
              ("out = 0", "run = 0", "for $ in @:", "    run = max(run + $, 0)",
               "    out = max(out, run)"), value=True)),
    (1, fixed("climb", "I", "find the length of the longest strictly rising run "
              "of neighbours", "the length of the longest strictly rising run "
              "of neighbours in @",
              ("out = 0", "run = 0", "for i, $ in enumerate(@):",
               "    run = run + 1 if i > 0 and $ > @[i - 1] else 1",
               "    out = max(out, run)"), value=True)),
    (1, fixed("firstrepeat", "I", "find the first value that was seen before "
              "(-1 if there is none)", "the first value of @ that was seen "
              "before (-1 if there is none)",
              ("seen = set()", "out = -1", "for $ in @:", "    if $ in seen:",
               "        out = $", "        break", "    seen.add($)"),
              value=True)),
    (1, fixed("horner", "I", "read them as the digits of a number in base K, "
              "most significant first", "the number whose digits in base K "
              "are @, most significant first",
              ("out = 0", "for $ in @:", "    out = out * K + $"), 3, 10,
              value=True)),
    (1, fixed("ascending", "B", "check whether they are in ascending order",
              "whether @ is sorted in ascending order", "@ == sorted(@)",
              value=True)),
    (1, fixed("alldistinct", "B", "check whether all of them are different",
              "whether all elements of @ are different",
              "len(set(@)) == len(@)", value=True)),
    (1, fixed("symmetric", "B", "check whether the list reads the same "
              "backwards", "whether @ reads the same backwards",
              "@ == @[::-1]", value=True)),
    (1, fixed("contains", "B", "check whether K is among them",
              "whether K occurs in @", "K in @", 0, 12, value=True)),
    (1, fixed("joined", "S", "join them into a string separated by commas|write "
              "them as a comma-separated string",
              "the elements of @ as a comma-separated string",
              "','.join(str($) for $ in @)")),
    (1, fixed("glued", "S", "write them one after another as a single string",
              "the elements of @ written one after another as a string",
              "''.join(str($) for $ in @)")),
    (1, fixed("strings", "W", "convert each of them to a string",
              "the elements of @ as strings", "[str($) for $ in @]")),
    (1, fixed("counts", "Z", "count how often each value occurs and give a "
              "dictionary", "a dictionary from each value of @ to how often it "
              "occurs", "{$: @.count($) for $ in @}", value=True)),
    (1, fixed("lastindex", "Z", "map each value to the index of its last "
              "occurrence", "a dictionary from each value of @ to the index of "
              "its last occurrence", "{$: i for i, $ in enumerate(@)}",
              value=True)),
    (1, fixed("ends", "Z", "give the smallest and the largest as a tuple (None "
              "if there are none)", "a tuple of the smallest and the largest "
              "of @, or None if there are none",
              "(min(@), max(@)) if @ else None", value=True)),
    (1, fixed("halves", "Z", "split the list into two halves, the first one "
              "shorter if the length is odd", "the two halves of @ as a tuple, "
              "the first one shorter if the length is odd",
              "(@[:len(@) // 2], @[len(@) // 2:])", value=True)),
    (1, fixed("indexed", "Z", "pair each element with its index as (index, "
              "element) tuples", "a list of (index, element) tuples of @",
              "list(enumerate(@))", value=True)),
    (1, fixed("pairs", "Z", "list the pairs of neighbouring elements as tuples",
              "the list of tuples of neighbouring elements of @",
              "list(zip(@, @[1:]))", value=True)),
    (1, fixed("grid", "M", "split the list into rows of K",
              "the rows of K consecutive elements of @",
              "[@[i:i + K] for i in range(0, len(@), K)]", 2, 3)),
]

TABLE = [  # list of rows to something
    (3, fixed("rowsums", "L", "take the sum of each row", "the row sums of @|"
              "the sums of the rows of @", "[sum(row) for row in @]")),
    (2, fixed("rowmax", "L", "take the largest element of each row",
              "the largest elements of the rows of @",
              "[max(row) for row in @]")),
    (2, fixed("rowmin", "L", "take the smallest element of each row",
              "the smallest elements of the rows of @",
              "[min(row) for row in @]")),
    (2, fixed("rowlast", "L", "take the last element of each row",
              "the last elements of the rows of @",
              "[row[-1] for row in @]")),
    (2, fixed("colsums", "L", "take the sum of each column",
              "the column sums of @|the sums of the columns of @",
              "[sum(col) for col in zip(*@)]")),
    (2, fixed("colmax", "L", "take the largest element of each column",
              "the largest elements of the columns of @",
              "[max(col) for col in zip(*@)]")),
    (3, fixed("flatten", "L", "flatten the rows into one list",
              "all elements of @ in one list", "[$ for row in @ for $ in row]")),
    (1, fixed("diagonal", "L", "take the diagonal that starts at the top left",
              "the diagonal of @ that starts at the top left",
              "[row[i] for i, row in enumerate(@) if i < len(row)]")),
    (1, fixed("border", "L", "take the first and the last row one after the "
              "other", "the first row of @ followed by the last row",
              "@[0] + @[-1]")),
    (2, fixed("transpose", "M", "transpose the rows and columns",
              "@ transposed", "[list(col) for col in zip(*@)]")),
    (1, fixed("fliprows", "M", "reverse the order of the rows",
              "@ with its rows in reverse order", "@[::-1]")),
    (1, fixed("reverserows", "M", "reverse each row",
              "@ with each row reversed", "[row[::-1] for row in @]")),
    (1, fixed("sortrows", "M", "sort each row in ascending order",
              "@ with each row sorted", "[sorted(row) for row in @]")),
    (1, fixed("bysum", "M", "sort the rows by their sum",
              "the rows of @ sorted by their sum", "sorted(@, key=sum)")),
    (1, fixed("scale", "M", "multiply every element by K",
              "@ with every element multiplied by K",
              "[[$ * K for $ in row] for row in @]", 2, 5)),
    (1, fixed("shift", "M", "add K to every element",
              "@ with K added to every element",
              "[[$ + K for $ in row] for row in @]", 1, 9)),
    (1, fixed("rowsabove", "M", "keep the rows with a sum greater than K",
              "the rows of @ with a sum greater than K",
              "[row for row in @ if sum(row) > K]", 5, 25)),
    (1, fixed("rowfirst", "M", "keep the rows whose first element is even",
              "the rows of @ whose first element is even",
              "[row for row in @ if row[0] % 2 == 0]")),
    (1, fixed("withtotal", "M", "append to each row its sum",
              "@ with the sum of each row appended to it",
              "[row + [sum(row)] for row in @]")),
]
