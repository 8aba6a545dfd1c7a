"""The catalogue of faults as data: each row, how it is injected here, what the user sees, what was lost, which tests.

`tests` names functions of this folder, or `file.py::function` below `tests/` where another level covers the row.
"""

from __future__ import annotations

from dataclasses import dataclass

NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One row. `pending` says what a row without (all of) its tests waits for; `cannot` why it cannot be injected."""

    number: int
    fault: str
    injected: str = ""
    sees: str = ""
    lost: str = ""
    tests: tuple[str, ...] = ()
    pending: str = ""
    cannot: str = ""


def _row(
    number: int, fault: str, injected: str, sees: str, *tests: str, lost: str = NOTHING, pending: str = ""
) -> Fault:
    return Fault(number=number, fault=fault, injected=injected, sees=sees, lost=lost, tests=tests, pending=pending)


def _pending(number: int, fault: str, pending: str) -> Fault:
    return Fault(number=number, fault=fault, pending=pending)


CATALOGUE: tuple[Fault, ...] = (
    _row(
        1,
        "broker killed and started again in a run",
        "SIGKILL of Mosquitto",
        "requests fail meanwhile; the run goes on",
        "test_01_the_broker_is_killed_and_started_again",
        "test_01_a_request_while_the_broker_is_away",
    ),
    _row(
        2,
        "broker stands still",
        "SIGSTOP and SIGCONT of Mosquitto, keep-alive 1 s",
        "as 1",
        "test_02_the_broker_stands_still",
    ),
    _row(
        3,
        "link to the broker cut, half open",
        "a proxy that cuts and then leads nowhere",
        "daemon offline, then online",
        "test_03_the_link_is_cut",
    ),
    _row(
        4,
        "broker comes back empty",
        "SIGKILL of a Mosquitto without persistence",
        "status, identities and states again",
        "test_04_the_broker_comes_back_empty",
    ),
    _row(
        5,
        "slow link",
        "a proxy that lets 4 kB a second through",
        "newest values skip some; the state counts what is left to replay",
        "test_05_a_slow_link",
    ),
    _row(
        6,
        "daemon killed in a run",
        "SIGKILL, then make-safe as ExecStopPost, then a restart",
        "run interrupted; nothing resumed by itself",
        "test_06_the_daemon_is_killed_in_a_run",
        "test_06_what_a_killed_daemon_had_on_disk_is_delivered",
        lost="what came after the last commit (every 20 ms)",
    ),
    _row(
        7,
        "daemon killed between audit and wire",
        "SIGKILL of a daemon whose acts wait behind the audit",
        "run interrupted, fault latched; the audit has an intent without an outcome",
        "test_07_killed_between_the_audit_and_the_wire",
    ),
    _row(
        8,
        "event loop blocked",
        "SIGSTOP of the daemon; the test plays systemd",
        "run interrupted; source off by make-safe",
        "test_08_the_event_loop_is_blocked",
    ),
    _row(
        9,
        "disk full at append",
        "ENOSPC below the spool; a tmpfs that is filled",
        "run failed; fault `disk` or `spool_exhausted`; no run may begin",
        "test_09_the_disk_is_full",
        "test_09_the_disk_of_everything_is_full",
        "spool/test_real_disk.py::test_a_disk_that_is_full_and_has_room_again",
    ),
    _row(
        10,
        "disk full inside a record",
        "a write that takes half, then ENOSPC",
        "nothing: cut off and written again",
        "test_10_the_disk_is_full_inside_a_record",
    ),
    _row(
        11,
        "EIO on fdatasync",
        "what was not synced is zeroed; strace on the daemon",
        "fault `disk_sync`; the run goes on",
        "test_11_a_sync_fails",
        "test_11_a_sync_that_the_kernel_refuses",
    ),
    _row(
        12,
        "fsync takes 5 s",
        "a sync that does not return for as long as the test wants",
        "the health says that the disk is slow",
        "test_12_a_sync_takes_long",
    ),
    _row(
        13,
        "file system turns read-only",
        "EROFS from all that changes a file",
        "fault `disk`; run failed when the memory for it is full",
        "test_13_the_file_system_turns_read_only",
    ),
    _row(
        14,
        "torn tail, flipped byte, zeroed page",
        "the files of a stopped daemon changed",
        "fault `disk_damage`: which samples are missing",
        "test_14_a_torn_tail",
        "test_14_damage_in_an_old_segment",
        "spool/test_damage.py::test_every_byte_flipped_of_a_closed_segment",
        lost="what lay there; recorders are told which indices",
    ),
    _row(
        15,
        "spool index gone",
        "footers cut off",
        "nothing: made again",
        "test_15_the_index_is_gone",
    ),
    _row(
        16,
        "1 GB backlog at start",
        "30 MB of an earlier daemon",
        "nothing: new samples do not wait",
        "test_16_a_backlog_at_the_start",
    ),
    _row(
        17,
        "wall clock set",
        "time.time of daemon and client, -1 h and +1 day",
        "an event that says by how much; events with the new time",
        "test_17_the_wall_clock_is_set",
        "test_17_the_step_is_recorded",
    ),
    _row(
        18,
        "suspend and resume",
        "the clock since boot runs on (a seam: the kernel here has no suspend)",
        "for how long, that samples may be missing; run failed",
        "test_18_the_computer_sleeps",
        lost="what the instrument would have sent meanwhile",
    ),
    _row(
        19,
        "unplugged while idle",
        "pty, socket or USB device closed",
        "device lost, then connected",
        "test_19_unplugged_while_idle",
    ),
    _row(
        20,
        "unplugged in a move, or with the cell on",
        "as 19",
        "run failed: cell not proven off; device lost",
        "test_20_unplugged_with_the_cell_on",
        "test_20_unplugged_during_a_move",
        "test_20_lost_in_a_move_and_back",
    ),
    _row(
        21,
        "replugged under another name",
        "the by-id link leads to another pty",
        "device lost, then connected",
        "test_21_replugged_under_another_name",
    ),
    _row(
        22,
        "two devices swap names",
        "serial numbers configured the other way round",
        "both refused, serial numbers told",
        "test_22_two_devices_have_swapped_names",
    ),
    _row(
        23,
        "garbage before, inside, after a frame",
        "bytes added or changed on the wire",
        "nothing, or a typed error",
        "test_23_garbage_in_a_measurement",
        "test_23_garbage_in_an_answer",
    ),
    _row(
        24,
        "flipped bit with valid length",
        "one bit of an exponent",
        "nothing: asked again, the sample marked",
        "test_24_a_flipped_bit_that_makes_an_impossible_value",
        lost="a flip that leaves a possible value is not seen: these protocols have no checksum",
    ),
    _row(
        25,
        "no reply",
        "replies dropped",
        "run failed: cell not proven off; or the position read back",
        "test_25_no_reply_in_a_measurement",
        "test_25_what_needs_the_source_off_goes_again",
        "test_25_no_reply_to_a_move",
        "conformance/test_faults.py::test_no_fault_of_the_wire_does_harm",
    ),
    _row(
        26,
        "late reply",
        "held until the next request",
        "one time-out, or nothing",
        "test_26_late_reply",
        "test_26_late_sample",
    ),
    _row(27, "reply duplicated", "sent twice", "nothing", "test_27_duplicated_reply", "test_27_duplicated_sample"),
    _row(
        28,
        "partial frame, then silence",
        "three bytes of a reply, then none",
        "run failed: cell not proven off",
        "test_28_partial_frame_then_silence",
        "conformance/test_faults.py::test_no_fault_of_the_wire_does_harm",
    ),
    _row(
        29, "byte by byte, or ten at once", "replies cut and joined", "nothing", "test_29_cut_into_bytes_or_all_at_once"
    ),
    _row(
        30,
        "reply of somebody else",
        "a frame of another Modbus unit first",
        "nothing, or a typed error",
        "test_30_a_reply_of_another_unit_on_the_bus",
    ),
    _row(
        31,
        "baud mismatch",
        "what a UART makes of another rate, bit for bit",
        "asked whether the baud rate is right",
        "test_31_another_baud_rate",
    ),
    _row(
        32,
        "wrong device on the port",
        "another identity answers",
        "refused by its identity",
        "test_32_another_device_on_the_port",
    ),
    _row(
        33,
        "device reboots in a measurement",
        "power cycle of the mock",
        "run failed, with the reason",
        "test_33_rebooted_in_a_measurement",
    ),
    _row(
        34,
        "firmware error or busy",
        "the mocks' own refusals",
        "the device's number and its meaning",
        "test_34_the_firmware_refuses_a_script",
        "test_34_the_board_is_busy",
        "test_34_the_stage_is_refused_by_the_microscope",
        "test_34_the_stage_stops_short_of_its_target",
    ),
    _row(
        35,
        "over range, no value",
        "a value that is none; a contact that opens",
        "samples with flags",
        "test_35_over_range_and_no_value",
        "test_35_overload_in_a_measurement",
    ),
    _row(
        36,
        "stream stalls with the port open",
        "the script stands still",
        "run failed: nothing came",
        "test_36_the_stream_stalls",
    ),
    _row(
        37,
        "device counter wraps",
        "the time stamp starts again at zero",
        "nothing: unwrapped",
        "test_37_the_instruments_clock_wraps",
    ),
    _row(
        38,
        "USB stall, ENODEV, time-out, short and empty packet",
        "errors of the backend in libusb's place",
        "nothing, or the device lost",
        "test_38_usb_faults_that_can_be_survived",
        "test_38_the_usb_device_is_gone",
    ),
    _row(
        39,
        "port held by another program",
        "another process has the pty open",
        "its process id and name",
        "test_39_the_port_is_held_by_another_program",
    ),
    _row(
        40,
        "no right to open the port",
        "EACCES in pyserial's place (the tests are root)",
        "owner, mode, groups, udev rule",
        "test_40_no_right_to_open_the_port",
    ),
    _row(
        41,
        "client dies holding a lease",
        "SIGKILL of a client in a move; the leases' clock is set on",
        "why the stage was stopped, in the events and the audit",
        "test_41_the_client_that_moves_a_stage_dies",
    ),
    _row(
        42,
        "client frozen, then sends",
        "SIGSTOP and SIGCONT of a client in a move",
        "refused: the lease is over",
        "test_42_a_frozen_client_thaws_and_sends",
    ),
    _row(
        43,
        "client's clock wrong by an hour",
        "requests that expire an hour off",
        "refused, with the daemon's time",
        "test_43_the_clients_clock_is_wrong_by_an_hour",
    ),
    _row(44, "same command twice", "published twice", "one act, two equal answers", "test_44_the_same_command_twice"),
    _row(
        45,
        "old command replayed",
        "published after its expiry",
        "refused",
        "test_45_an_old_command_is_replayed",
    ),
    _row(
        46,
        "retained command waiting at start",
        "retained on the broker before the daemon starts",
        "not executed; with MQTT 3.1.1 told how to remove it",
        "test_46_a_retained_command_waits_for_the_daemon",
    ),
    _row(
        47,
        "two clients race for a lease",
        "both ask at once, ten times",
        "one has it; the other is told who",
        "test_47_two_clients_want_the_same_lease",
    ),
    _row(
        48,
        "unauthorised user, forged level",
        "an observer asks; forged names and a forged role",
        "refused by the broker or by the daemon, with who may",
        "test_48_somebody_who_may_not",
        "access/test_broker.py::test_nobody_asks_in_anothers_name",
        "access/test_broker.py::test_each_role_has_what_it_may_by_our_own_client",
        "access/test_requests.py::test_a_forged_sender_is_refused",
    ),
    _row(
        49,
        "client id stolen",
        "another client with the daemon's id, in a run",
        "nothing",
        "test_49_somebody_takes_the_daemons_client_id",
        "access/test_broker.py::test_no_client_id_throws_the_daemon_off",
    ),
    _row(
        50,
        "nonsense for a payload",
        "2 MB, empty, deep, CBOR, NaN, keys twice",
        "refused with the reason; no flood",
        "test_50_a_request_of_nonsense",
        "test_50_a_flood_of_nonsense_is_no_flood_of_events",
    ),
    _row(
        51,
        "10 000 commands a second",
        "10 000 requests of one user at QoS 0, then a stop",
        "the stop's answer; the flooder is told that it is too much",
        "test_51_ten_thousand_requests_and_a_stop",
        "access/test_broker.py::test_a_flood_holds_back_neither_a_stop_nor_anybody_else",
    ),
    _row(
        52,
        "200 000 retained topics under the root",
        "200 000 retained by a client, requests among them",
        "nothing: none is sent to the daemon",
        "test_52_two_hundred_thousand_retained_topics",
    ),
    _row(
        53,
        "slow or stopped recorder",
        "a subscriber that reads nothing",
        "nothing",
        "test_53_a_recorder_that_stands_still",
        "test_53_a_recorder_that_stood_still_gets_the_rest_from_the_disk",
    ),
    _row(
        54,
        "message larger than the broker takes",
        "max_packet_size 12000",
        "nothing: cut to fit",
        "test_54_a_block_larger_than_the_broker_takes",
    ),
    _row(
        55,
        "emergency stop inside a 2 s reply",
        "replies dropped; the order is that of the mock's record",
        "the stop's answer, which names each device",
        "test_55_a_stop_while_a_stage_keeps_its_answer_to_itself",
        "test_55_a_stop_while_a_source_keeps_its_reading_to_itself",
        "drivers/test_stop_past_answer.py::test_a_2400_is_switched_off_past_a_reading",
        "drivers/test_stop_past_answer.py::test_a_stage_is_stopped_past_a_question",
    ),
    _row(
        56,
        "gauge stale, gone or flapping",
        "replies dropped; unplugged; readings about the limit; underrange",
        "run failed, or refused: the rule, the reading and its age",
        "test_56_no_vacuum_by_the_gauge",
        "test_56_nothing_is_begun_without_a_vacuum",
        "test_56_between_the_two_limits_nothing_changes",
    ),
    _row(
        57,
        "interlock changes between admission and write",
        "air comes in while the audit writes",
        "run failed: the rule; nothing was sent",
        "test_57_the_vacuum_is_lost_between_admission_and_the_first_byte",
    ),
    _row(
        58,
        "acknowledge held down, or too early",
        "20 acknowledgements before the cause is gone, and again after",
        "refused each time; the fault stays",
        "test_58_acknowledged_too_early_and_again_and_again",
    ),
    _row(
        59,
        "reload of a bad configuration",
        "no TOML, an unknown option, an unknown driver",
        "file and place; health says that the file is not good",
        "test_59_a_file_with_a_mistake_is_reloaded",
        "bridge/test_reload.py::test_a_file_with_a_mistake_changes_nothing",
    ),
    _row(
        60,
        "SIGTERM in a run and in a move",
        "SIGTERM of the daemon",
        "run aborted; daemon offline, exit status 0",
        "test_60_ended_in_a_run",
        "test_60_ended_in_a_move",
        "test_60_whoever_waits_for_a_move_is_told",
    ),
    _row(
        61,
        "out of descriptors, memory, processes",
        "RLIMIT_NOFILE, RLIMIT_AS and RLIMIT_NPROC of the running daemon set to what it has",
        "fault `disk`, and why a replay or another run is refused; the run goes on",
        "test_61_out_of_descriptors",
        "test_61_no_more_memory",
        "test_61_no_more_threads",
    ),
    _row(
        62,
        "certificate expired, or another authority",
        "the daemon's files exchanged, the broker restarted in a run",
        "which certificate and why, in the log; no daemon",
        "test_62_certificates_that_are_no_good_any_more",
        "access/test_broker.py::test_an_expired_certificate_is_told_and_a_renewed_one_is_taken_up",
    ),
    _row(
        63,
        "two daemons",
        "the same state directory; the same port",
        "the second one refuses, and says who is there",
        "test_63_a_second_daemon_on_the_same_state",
        "test_63_a_second_daemon_on_the_same_ports",
    ),
    _row(
        64,
        "version skew",
        "a daemon that tells another contract",
        "refused, with both versions; a stop goes through",
        "test_64_a_daemon_of_another_contract",
    ),
    _row(
        65,
        "week-long soak",
        "`make soak`: a simulated month of cycling, a recorder, an operator, faults by dice; a day of it in the suite",
        "runs aborted, failed or interrupted, each with its reason",
        "soak/test_soak.py::test_a_day_of_cycling_with_faults",
        lost="what came after the last commit before a kill",
    ),
)


def table() -> str:
    """The rows as Markdown."""
    lines = ["| # | fault | injected | the user sees | lost | tests |", "| --- | --- | --- | --- | --- | --- |"]
    for row in CATALOGUE:
        state = []
        if row.cannot:
            state.append(f"cannot be injected here: {row.cannot}")
        if row.pending:
            state.append(f"**pending**: {row.pending}")
        state += [f"`{name}`" for name in row.tests]
        lines.append(f"| {row.number} | {row.fault} | {row.injected} | {row.sees} | {row.lost} | {'; '.join(state)} |")
    return "\n".join(lines)
