"""The two inner loops, compiled: which items a page shares seeds with, and how an item and a stretch of a page align.

Compiled once for a machine and kept beside the package (numba's cache); everything else of the data side is numpy.
"""

from __future__ import annotations

import numba
import numpy as np

MISMATCH, GAP = 0.35, 0.25  # what a changed and what a left-out or added word cost, where a matched content word earns 1


@numba.njit(cache=True, nogil=True)
def seeded(
    page_places: np.ndarray, page_bounds: np.ndarray, keys: np.ndarray, posted: np.ndarray, post_item: np.ndarray, post_place: np.ndarray,
    need: np.ndarray, reach: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Stretches of pages that hold enough seeds of an item.

    Parameters
    ----------
    page_places : place in its page of each seed that some item has, pages one after the other
    page_bounds : page i has seeds `page_bounds[i]` to `page_bounds[i + 1]`
    keys : which entry of the index each of them is
    posted, post_item, post_place : entry k stands in items `post_item[posted[k]:posted[k + 1]]` at `post_place[...]`
    need : seeds that an item asks for; reach : words within which they must stand

    Returns
    -------
    array of shape (4, n): page, item, first place, last place; one column a page and item, the stretch with the most seeds
    """
    found = [(np.int64(0), np.int64(0), np.int64(0), np.int64(0)) for _ in range(0)]
    for page in range(len(page_bounds) - 1):
        low, high = page_bounds[page], page_bounds[page + 1]
        total = 0
        for seed in range(low, high):
            total += posted[keys[seed] + 1] - posted[keys[seed]]
        if total < 2:
            continue
        pairs = np.empty(total, np.int64)
        at = 0
        for seed in range(low, high):
            for post in range(posted[keys[seed]], posted[keys[seed] + 1]):
                pairs[at] = (np.int64(post_item[post]) << 32) | np.int64(page_places[seed])
                at += 1
        pairs.sort()
        start = 0
        while start < total:
            item = pairs[start] >> 32
            end = start
            while end < total and pairs[end] >> 32 == item:
                end += 1
            if end - start >= need[item]:
                best, best_first, best_last, left, distinct = 0, np.int64(0), np.int64(0), start, 0
                for right in range(start, end):
                    if right == start or pairs[right] != pairs[right - 1]:
                        distinct += 1
                    while pairs[right] - pairs[left] > reach[item]:
                        if pairs[left + 1] != pairs[left]:
                            distinct -= 1
                        left += 1
                    if distinct > best:
                        best, best_first, best_last = distinct, pairs[left] & 0xFFFFFFFF, pairs[right] & 0xFFFFFFFF
                if best >= need[item]:
                    found.append((np.int64(page), np.int64(item), np.int64(best_first), np.int64(best_last)))
            start = end
    columns = np.empty((4, len(found)), np.int64)
    for row, values in enumerate(found):
        columns[0, row], columns[1, row], columns[2, row], columns[3, row] = values
    return columns


@numba.njit(cache=True, nogil=True)
def align(page: np.ndarray, item: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The best local alignment: for each word of the item the place in `page` of the word that equals it, -1 for none.

    Smith and Waterman (1981) over words: an equal word earns its weight, a changed one costs MISMATCH, a word that only one side
    has costs GAP.
    """
    rows, columns = len(item), len(page)
    above = np.zeros(columns + 1, np.float32)
    steps = np.zeros((rows + 1, columns + 1), np.int8)  # 0 stop, 1 both, 2 item only, 3 page only
    best, best_row, best_column = np.float32(0), 0, 0
    for i in range(1, rows + 1):
        corner = np.float32(0)
        above[0] = 0
        for j in range(1, columns + 1):
            equal = item[i - 1] == page[j - 1]
            both = corner + (weight[i - 1] if equal else np.float32(-MISMATCH))
            down = above[j] - np.float32(GAP)
            across = above[j - 1] - np.float32(GAP)
            corner = above[j]
            score, step = np.float32(0), 0
            if both > score:
                score, step = both, 1
            if down > score:
                score, step = down, 2
            if across > score:
                score, step = across, 3
            above[j] = score
            steps[i, j] = step
            if score > best:
                best, best_row, best_column = score, i, j
    matched = np.full(rows, -1, np.int64)
    i, j = best_row, best_column
    while i > 0 and j > 0 and steps[i, j] != 0:
        step = steps[i, j]
        if step == 1:
            if item[i - 1] == page[j - 1]:
                matched[i - 1] = j - 1
            i -= 1
            j -= 1
        elif step == 2:
            i -= 1
        else:
            j -= 1
    return matched


@numba.njit(cache=True, nogil=True)
def coverages(
    flat: np.ndarray, firsts: np.ndarray, lasts: np.ndarray, item_flat: np.ndarray, weight: np.ndarray, bounds: np.ndarray,
    questions: np.ndarray, which: np.ndarray, shortest: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Align each candidate and say how much of the item the page holds.

    Parameters
    ----------
    flat, firsts, lasts : the pages' words and the stretch (both ends inside) of each candidate
    item_flat, weight, bounds, questions, which : the items' words, their weights, and the item of each candidate
    shortest : words that a question must have to count without its answer

    Returns
    -------
    overlap : weighted share of the item (or of its question alone, the larger) that is matched in order
    matched : words that are matched
    spread : words of the page between the first and the last match, over the item's words between them
    start, end : of the matched stretch in `flat`, the end outside
    """
    count = len(which)
    overlap, spread = np.zeros(count, np.float32), np.zeros(count, np.float32)
    words, starts, ends = np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count, np.int64)
    for k in range(count):
        low, high = bounds[which[k]], bounds[which[k] + 1]
        page = flat[firsts[k] : lasts[k] + 1]
        places = align(page, item_flat[low:high], weight[low:high])
        question, whole, all_question, all_whole = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        first, last, item_first, item_last, found = -1, -1, 0, 0, 0
        for i in range(high - low):
            w = weight[low + i]
            all_whole += w
            if i < questions[which[k]]:
                all_question += w
            if places[i] >= 0:
                whole += w
                found += 1
                if i < questions[which[k]]:
                    question += w
                if first < 0:
                    first, item_first = places[i], i
                last, item_last = places[i], i
        share = whole / all_whole if all_whole > 0 else np.float32(0)
        if questions[which[k]] >= shortest and all_question > 0:
            share = max(share, question / all_question)
        overlap[k] = share
        words[k] = found
        if found:
            spread[k] = np.float32(last - first + 1) / np.float32(item_last - item_first + 1)
            starts[k], ends[k] = firsts[k] + first, firsts[k] + last + 1
    return overlap, words, spread, starts, ends
