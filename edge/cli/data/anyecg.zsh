#compdef anyecg
# Completion of anyecg for zsh. Written by packaging/completion.py with shtab; do not edit.

# Usage:
# 1) Copy this to a file named _anyecg (e.g. ~/.local/share/zsh_completion/_anyecg).
# 2) Add the following line to your .zshrc:
#    fpath=(~/.local/share/zsh_completion $fpath)
# See also: https://github.com/zsh-users/zsh-completions/blob/master/zsh-completions-howto.org


_shtab_anyecg_commands() {
  local _commands=(
    baseline:'write a person'"'"'s quiet hour, to show changes against it'
    bench:'measure the budgets on this machine; exit 1 if one is exceeded'
    bundle:'show, verify, compare, pack, sign, install or make a bundle'
    calibrate:'fit a device, a bundle'"'"'s probabilities, or a person'"'"'s values'
    collect:'store the estimates of many patches, from a broker, in a database'
    completion:'write the completion script of bash, zsh or fish'
    convert:'turn a checkpoint into a bundle and compare the two'
    demo:'run the whole chain on a virtual patch'
    devices:'list the supported patches, with the limits of each'
    doctor:'check this machine and show how to fix problems'
    estimates:'write the estimates of a session or file as JSON Lines'
    evaluate:'evaluate a teacher on prepared segments, head by head'
    explain:'show what the estimates of a recording rest on'
    export:'write a session as CSV, WFDB, EDF, Parquet or FHIR'
    finetune:'train a teacher on a prepared data set'
    firmware:'copy the C library for your own patch into a folder'
    lint:'show which targets a model does not fit, and why'
    mark:'note the posture of the wearer in a session'
    micro-package:'write a bundle as C for a microcontroller'
    prepare:'cut and label ten-second segments of a data set'
    report:'write a session as one page, with the ECG at any moment'
    run:'read a patch or recording and emit lab estimates'
    scan:'list patches on Bluetooth and serial ports, and the URL of each'
    service:'install, show or remove the systemd service of a patch'
    sessions:'list sessions: when, device, length, estimates, loss, size'
    simulate:'write a cohort of simulated patients (MC-MED layout)'
    train-demo:'train the demonstration bundle on simulated patients'
    validate:'judge a bundle on labelled recordings; exit 1 if the gate fails'
    version:'show the version of anyecg-edge'
    virtual-patch:'simulate a patch on a pseudo-terminal, with faults on demand'
  )
  _describe 'anyecg commands' _commands
}

_shtab_anyecg_bundle_commands() {
  local _commands=(
    diff:'show what changed between two bundles'
    install:'make a bundle the current one of a folder, or go back'
    keygen:'make a pair of keys to sign bundles'
    make:'make a bundle from a LiteRT model'
    pack:'write a bundle as one zip file'
    show:'show a bundle'
    sign:'sign a bundle'
    verify:'verify a bundle'
  )
  _describe 'anyecg bundle commands' _commands
}

_shtab_anyecg_calibrate_commands() {
  local _commands=(
    device:'a board: counts to millivolts, polarity, rate, noise, band'
    fuse:'a bundle: estimates that also read the waves of the ECG'
    person:'a person: later values, anchored at a measured result'
    probability:'a bundle: probabilities, thresholds, abstention'
    rhythm:'a bundle: rhythms in which outputs answer'
  )
  _describe 'anyecg calibrate commands' _commands
}

_shtab_anyecg_convert_commands() {
  local _commands=(
    foundation:'convert the whole teacher for a Raspberry Pi'
    inspect:'describe the content of a checkpoint'
    micro:'distil a teacher into a student for a microcontroller'
    parity:'compare every form of a bundle'"'"'s model'
  )
  _describe 'anyecg convert commands' _commands
}

_shtab_anyecg_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_defaults_added=0

_shtab_anyecg_baseline_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--out[the baseline (default\: baseline.json)]:FILE.json:_files"
  "--from[start of the quiet hour\: 2026-01-31T02\:00\:00Z, or \+1\:30\:00 since the start (default\: chosen)]:TIME:"
  "--to[end of the quiet hour]:TIME:"
  "*--posture[time in a posture or activity, such as standing\=\+0\:40\/\+0\:45\; its effect is measured\; repeatable, beside the marks of \'anyecg mark\']:NAME=FROM/TO:"
  "--montage[where the patch was, such as \'left of the sternum\']:TEXT:"
  "--force[replace an existing baseline]"
  "--json[write JSON to standard output instead of text]"
  "(*):session folders or recordings of one person and device:_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_baseline_defaults_added=0

_shtab_anyecg_bench_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--bundle[bundle folder or zip\; \'demo\' is in the package]:DIR:_files -/"
  "--hours[hours of signal for measuring the growth of memory (default 1)]:H:"
  "--reasons[measure with \'anyecg run --reasons\']"
  "--json[write JSON to standard output instead of text]"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_bench_defaults_added=0

_shtab_anyecg_bundle_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--backend[interpreter for the self-test\: auto, litert, tflm ...]:backend:"
  "--trusted[file of public keys\; refuse all other bundles]:KEYS:_files"
  "--json[write JSON to standard output instead of text]"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_bundle_defaults_added=0

_shtab_anyecg_bundle_diff_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--data[recordings to run both on\; default\: the golden windows of both]:DIR:_files -/"
  "--windows[largest number of windows of --data\; default 64]:N:"
  "--fs[sampling rate, Hz, of recordings that do not state it]:FS:"
  "--lsb-mv[millivolts per count of recordings that do not state it]:LSB-MV:"
  "--lead[name of the lead of recordings that do not state it]:LEAD:"
  "--backend[interpreter of both models\: auto, litert, tflm ...]:backend:"
  "--json[write JSON to standard output instead of text]"
  ":first bundle\: folder, zip, or \'demo\':"
  ":second bundle:"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_bundle_diff_defaults_added=0

_shtab_anyecg_bundle_install_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--to[folder of installed bundles]:DIR:_files -/"
  "--trusted[file of public keys\; refuse all other bundles]:KEYS:_files"
  "--back[go back to the bundle before the current one]"
  "--backend[interpreter for the self-test\: auto, litert, tflm ...]:backend:"
  ":folder, zip, or \'demo\':_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_bundle_install_defaults_added=0

_shtab_anyecg_bundle_keygen_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--name[whose key it is, written into FILE.pub]:TEXT:"
  ":private key to write\; keep it secret:_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_bundle_keygen_defaults_added=0

_shtab_anyecg_bundle_make_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--outputs[description of its heads, TOML or JSON]:FILE:_files"
  "--front-end[filter that the model\'s windows need]:front_end:(stream/1 ecgfounder/1)"
  "--out[output folder of the bundle]:BUNDLE:_files"
  "--data[recordings for golden vectors and report\; default\: simulated patients]:DIR:_files -/"
  "--output[output of the model\; default\: the only one that fits]:NAME:"
  "--name[name of the bundle\; default\: that of the file]:name:"
  "--version[version of the bundle\; default 0.1.0]:version:"
  "--licence[licence of the model\; default\: \'not stated\']:licence:"
  "--windows[windows of --data\; default 24]:N:"
  "--fs[sampling rate of recordings that do not state it]:HZ:"
  "--lsb-mv[millivolts per count of recordings that do not state their scale]:MV:"
  "--lead[lead to read of each recording\; default\: II, MLII or I]:NAME:"
  "--json[write JSON to standard output instead of text]"
  ":the model:_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_bundle_make_defaults_added=0

_shtab_anyecg_bundle_pack_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  ":folder, zip, or \'demo\':_files -/"
  ":the zip file to write\; an older bundle is replaced:_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_bundle_pack_defaults_added=0

_shtab_anyecg_bundle_show_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--backend[interpreter for the self-test\: auto, litert, tflm ...]:backend:"
  "--trusted[file of public keys\; refuse all other bundles]:KEYS:_files"
  "--json[write JSON to standard output instead of text]"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_bundle_show_defaults_added=0

_shtab_anyecg_bundle_sign_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--key[private key, see \'anyecg bundle keygen\']:KEY:_files"
  ":folder or zip\; an older signature is replaced:_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_bundle_sign_defaults_added=0

_shtab_anyecg_bundle_verify_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--backend[interpreter for the self-test\: auto, litert, tflm ...]:backend:"
  "--trusted[file of public keys\; refuse all other bundles]:KEYS:_files"
  "--json[write JSON to standard output instead of text]"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_bundle_verify_defaults_added=0

_shtab_anyecg_calibrate_options=(
  
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_calibrate_defaults_added=0

_shtab_anyecg_calibrate_device_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--source[as for \'anyecg run\', or a recording file]:URL:_anyecg_source"
  "--signal[signal that is applied\; default pulse]:signal:(pulse sine sweep shorted)"
  "--amplitude-mv[peak-to-peak amplitude, mV\; default 1]:X:"
  "--hz[true frequency of the sine]:X:"
  "--seconds[duration of the measurement\; default 30, for a sweep 60]:N:"
  "--add-to[existing profile of the same board to extend]:FILE:_files"
  "--name[name of the device\; default\: the name that the source gives]:name:"
  "--out[file of the profile (TOML)\; default\: that of --add-to]:FILE:_files"
  "--force[replace the file of --out]"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_calibrate_device_defaults_added=0

_shtab_anyecg_calibrate_fuse_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--data[data folder\: MC-MED layout, or with labels.csv]:DIR:_files -/"
  "--fs[sampling rate of recordings that do not state it]:HZ:"
  "--lsb-mv[millivolts per count of recordings that do not state their scale]:MV:"
  "--lead[lead to read of each recording\; default\: II, MLII or I]:NAME:"
  "--split[part of the data\; default val]:split:(test val chrono-test all)"
  "--label-plan[rules from results to labels\; default\: those of the bundle]:FILE:_files"
  "--out[folder of the new bundle]:BUNDLE2:_files"
  "--threshold[rule for the threshold\: youden, sensitivity\=0.9, ppv\=0.5 or npv\=0.99]:RULE:"
  "--seed[seed of folds and bootstrap\; default 1]:seed:"
  "--hop[seconds between windows\; default 5.0]:S:"
  "--jobs[number of processes]:N:"
  "--limit[use only the first N recordings]:N:"
  "--one-recording-a-patient[treat each recording as a separate patient]"
  "--quiet[show no progress]"
  "--json[write JSON to standard output instead of text]"
  ":bundle folder, or \'demo\':_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_calibrate_fuse_defaults_added=0

_shtab_anyecg_calibrate_person_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--lab[measured result\: potassium\=4.3 or \'potassium\=4.3 mmol\/L\']:KEY=VALUE:"
  "--at[time of the blood draw\: 2026-01-31T08\:30\:00Z, or with \+01\:00]:TIME:"
  "--estimates[file of \'anyecg run --out\' or a session]:FILE:_files"
  "--session-dir[folder of \'anyecg run --session-dir\']:DIR:_files -/"
  "--person[file with the results of the person\; default\: in your data folder]:FILE:_files"
  "--name[name of the person, for display only]:name:"
  "--bundle[bundle that made the estimates\; default demo]:DIR:_files -/"
  "--within[largest time between estimate and blood draw, minutes\; default 60]:MIN:"
  "--max-age[days until the result expires\; default 7]:DAYS:"
  "--between-sd[SD of the errors between persons, in the unit of the value]:X:"
  "--within-sd[SD of the errors within a person, in the unit of the value]:X:"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_calibrate_person_defaults_added=0

_shtab_anyecg_calibrate_probability_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--data[data folder\: MC-MED layout, or with labels.csv]:DIR:_files -/"
  "--fs[sampling rate of recordings that do not state it]:HZ:"
  "--lsb-mv[millivolts per count of recordings that do not state their scale]:MV:"
  "--lead[lead to read of each recording\; default\: II, MLII or I]:NAME:"
  "--split[part of the data\; default val]:split:(test val chrono-test all)"
  "--label-plan[rules from results to labels\; default\: those of the bundle]:FILE:_files"
  "--out[folder of the new bundle\; default\: replace the bundle]:BUNDLE2:_files"
  "--methods[methods to choose from\; default none,temperature,platt,isotonic]:methods:"
  "--threshold[rule for the threshold\: youden, sensitivity\=0.9, ppv\=0.5 or npv\=0.99]:RULE:"
  "--abstain[add a band of abstention with coverage C, such as 0.9]:C:"
  "--seed[seed of folds and bootstrap\; default 1]:seed:"
  "--hop[seconds between windows\; default 5.0]:S:"
  "--jobs[number of processes]:N:"
  "--limit[use only the first N recordings]:N:"
  "--one-recording-a-patient[treat each recording as a separate patient]"
  "--quiet[show no progress]"
  "--json[write JSON to standard output instead of text]"
  ":bundle folder, or \'demo\':_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_calibrate_probability_defaults_added=0

_shtab_anyecg_calibrate_rhythm_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--rhythms[separated by commas\: sinus, af_or_flutter, paced, undetermined\; or any]:NAMES:"
  "--heads[outputs, separated by commas\; default\: all]:KEYS:"
  "--out[folder of the new bundle]:BUNDLE2:_files"
  ":bundle folder, or \'demo\':_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_calibrate_rhythm_defaults_added=0

_shtab_anyecg_collect_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--to[sqlite\:FILE, postgresql\:\/\/USER\@HOST\/DATABASE or parquet\:DIR]:STORE:"
  "--from[add what these session folders hold, instead of collecting from a broker]:FOLDER:_files -/"
  "--patch[with --from\: the patch of sessions that do not say it]:NAME:"
  "--keep[age at which estimates are removed\: 90d, 12h, all (default all)]:AGE:"
  "--tidy[remove what is too old and merge all Parquet files now]"
  "--seconds[end after this time (default\: run until stopped)]:S:"
  "--progress[seconds between two progress lines\; 0 for none]:S:"
  "--json[write JSON to standard output instead of text]"
  ":mqtts\:\/\/USER\@HOST\:PORT\/PREFIX\[\?ca\=FILE\&name\=NAME\]:"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_collect_defaults_added=0

_shtab_anyecg_completion_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  ":the shell:(bash zsh fish)"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_completion_defaults_added=0

_shtab_anyecg_convert_options=(
  
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_convert_defaults_added=0

_shtab_anyecg_convert_foundation_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--outputs[description of the heads\; default\: outputs.json in its folder]:FILE:_files"
  "--data[recordings to calibrate and judge on]:DIR:_files -/"
  "--fs[sampling rate of recordings that do not state it]:HZ:"
  "--lsb-mv[millivolts per count of recordings that do not state their scale]:MV:"
  "--lead[lead to read of each recording\; default\: II, MLII or I]:NAME:"
  "--form[form of the model\: auto takes dynamic range, or full int8 if its gate opens and it is clearly faster]:form:(auto dynamic int8 float16 float32)"
  "--out[output folder of the bundle]:BUNDLE:_files"
  "--name[name of the bundle\; default anyecg-foundation]:name:"
  "--version[version of the bundle\; default 0.1.0]:version:"
  "--licence[licence of the weights\; default\: \'not stated by the checkpoint\']:licence:"
  "--stride[stride of each stage\'s first block\; default\: that of the file, or 2]:stride:"
  "--bn[batch normalisation\; default\: that of the file, or off]:bn:(on off)"
  "--key[name of the network in a checkpoint with several]:NAME:"
  "--tune[tune full int8 by self-distillation on the recordings\; rerun the command to resume]:MINUTES:"
  "--calibration-windows[default 48]:N:"
  "--evaluation-windows[default 64]:N:"
  "--gates[TOML with other limits than convert\/data\/gates.toml]:FILE:_files"
  "--accept-loss[write the bundle even if the gate is shut]"
  "--labels[laboratory results of the data, to calibrate the heads]:DIR:_files -/"
  "--label-plan[label file\; default\: that of the teacher]:FILE:_files"
  "--choice[choice of the calibration windows\: those that cover the data, or every second one\; default coverage]:choice:(coverage alternate)"
  "--json[write JSON to standard output instead of text]"
  ":a .pth, .ckpt or .safetensors file, or a folder of \'anyecg finetune\':_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_convert_foundation_defaults_added=0

_shtab_anyecg_convert_inspect_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--stride[stride of each stage\'s first block\; default\: that of the file, or 2]:stride:"
  "--bn[batch normalisation\; default\: that of the file, or off]:bn:(on off)"
  "--key[name of the network in a checkpoint with several]:NAME:"
  ":a .pth, .ckpt or .safetensors file, or a folder of \'anyecg finetune\':_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_convert_inspect_defaults_added=0

_shtab_anyecg_convert_micro_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "*--data[recordings\: an MC-MED folder, or a folder of files\; may be repeated]:DIR:_files -/"
  "--varied[simulated ECGs of varied shapes on which the student imitates the teacher (default 0)]:N:"
  "--out[output folder of the bundle]:BUNDLE:_files"
  "--labels[laboratory results\: MC-MED folder, or folder with labels.csv]:DIR:_files -/"
  "--label-plan[label file, as for \'anyecg prepare\' (default\: that of the teacher)]:FILE:_files"
  "--compare[further recordings for a comparison with the teacher]:DIR:_files -/"
  "--outputs[description of a checkpoint\'s outputs (outputs.json beside it)]:FILE:_files"
  "--stride[stride of a checkpoint\'s stages (default\: that of the file, or 2)]:N:"
  "--bn[batch normalisation (default\: that of the file, or off)]:bn:(on off)"
  "--key[name of the network in a checkpoint with several]:NAME:"
  "--licence[licence of a checkpoint\'s weights]:licence:"
  "--preset[size of the student (default micro)]:preset:(micro nano small)"
  "--name[name of the bundle]:name:"
  "--version[version of the bundle (default 0.1.0)]:version:"
  "--workdir[intermediate files (default\: BUNDLE.work)]:DIR:_files -/"
  "--seed[seed of all random numbers (default 1)]:S:"
  "--fs[sampling rate of recordings that do not state it]:HZ:"
  "--lsb-mv[millivolts per count of recordings that do not state their scale]:MV:"
  "--lead[lead to read of each recording\; default\: II, MLII or I]:NAME:"
  "--hop[hop between windows (default 5)]:S:"
  "--windows[most windows of a recording (default 16)]:N:"
  "--float-epochs[default 30]:N:"
  "--quant-epochs[default 8]:N:"
  "--disturbed[share of training windows with disturbances of a wearable (default 0.5\; 0 for none)]:SHARE:"
  "--scheduler[who labels\: none, threads\:N, processes\:N, tcp\:\/\/HOST\:PORT of a Dask cluster (default\: 2 processes)]:WHO:"
  ":folder of \'anyecg finetune\', .pth file, or foundation bundle:_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_convert_micro_defaults_added=0

_shtab_anyecg_convert_parity_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--checkpoint[teacher of a foundation bundle]:CKPT:_files"
  "--data[recordings\; default\: the bundle\'s golden windows]:DIR:_files -/"
  "--fs[sampling rate of recordings that do not state it]:HZ:"
  "--lsb-mv[millivolts per count of recordings that do not state their scale]:MV:"
  "--lead[lead to read of each recording\; default\: II, MLII or I]:NAME:"
  "--original[file with x_5000 and logits_5000 of the original code]:NPZ:_files"
  "--windows[number of windows of --data\; default 32]:N:"
  "--report[write parity.html and parity.json there]:DIR:_files -/"
  "--json[write JSON to standard output instead of text]"
  ":folder, zip, or \'demo\':_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_convert_parity_defaults_added=0

_shtab_anyecg_demo_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--seconds[duration in seconds (default 30)]:N:"
  "--hop[seconds between estimates (default 1)]:S:"
  "--bundle[bundle folder or zip (default\: the one in the package)]:DIR:_files -/"
  "--potassium[potassium of the simulated patient, mmol\/L]:K:"
  "--hr[heart rate of the simulated patient]:BPM:"
  "--faults[faults to inject, such as \'unplug\@15\:3\;leadoff\@20\:4\']:TEXT:"
  "--seed[random seed of the simulated patient]:seed:"
  "--http[address of the page in the browser, while the demonstration runs (default\: a free port of this computer)]:ADDRESS|off:"
  "--out[also write the estimates as JSON Lines]:FILE|-:_files"
  "--view[display\: live screen, plain lines, or none]:view:(auto live plain none)"
  "--picture[write the last screen as a picture]:FILE.svg:_files"
  "--force[replace an existing picture]"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_demo_defaults_added=0

_shtab_anyecg_devices_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--json[write JSON to standard output instead of text]"
  "--markdown[the tables of docs\/devices.md]"
  ":show all details of one device:"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_devices_defaults_added=0

_shtab_anyecg_doctor_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--json[write JSON to standard output instead of text]"
  "*--need[kind of patch that you want to use\; a missing part that it needs counts as wrong (may be repeated)]:need:(ble serial)"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_doctor_defaults_added=0

_shtab_anyecg_estimates_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "(*):folder of \'anyecg run --session-dir\', a file of it, or a file of \'anyecg run --out\':_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_estimates_defaults_added=0

_shtab_anyecg_evaluate_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--data[folder that \'anyecg prepare\' wrote]:DIR:_files -/"
  "--out[folder of report and intermediate files]:DIR:_files -/"
  "--split[part of the data (default test)]:split:(test val)"
  "--outputs[description of a checkpoint\'s outputs (JSON)]:FILE:_files"
  "--stride[stride of the stages, if the file does not state it]:N:"
  "--bn[batch normalisation, if the checkpoint does not state it]:bn:(on off)"
  "--key[name of the network in a checkpoint with several]:NAME:"
  "--protocol[signalmcmed\: linear models on ten-minute means of the teacher\'s features\; default segments]:protocol:(segments signalmcmed)"
  "--reference[another teacher to compare with]:TEACHER:_files"
  "--margin[non-inferiority margin, AUROC (default 0.01)]:M:"
  "--no-baselines[do not train the models of age, sex and intervals]"
  "--baseline-segments[largest number of training segments of these models (default 200000)]:N:"
  "--seed[seed\; default 1]:S:"
  "--resamples[bootstrap replicates\; default 1000]:N:"
  "--jobs[number of processes]:N:"
  "--scheduler[score with Dask instead\: threads\:N, processes\:N, or tcp\:\/\/HOST\:PORT of a cluster]:WHO:"
  "--quiet[show no progress]"
  "--json[write JSON to standard output instead of text]"
  ":folder of \'anyecg finetune\', .pth, .keras, or foundation bundle:_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_evaluate_defaults_added=0

_shtab_anyecg_explain_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--head[only this output, such as potassium_high]:KEY:"
  "--picture[draw the beat, coloured by the reasons of an output]:FILE.svg:_files"
  "--json[write JSON to standard output instead of text]"
  ":folder, zip, or \'demo\':_files"
  ":file, session folder with a raw recording, or source URL:"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_explain_defaults_added=0

_shtab_anyecg_export_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--to[format]:to:(csv wfdb edf parquet fhir)"
  "--out[new folder for the files (default\: SESSION-FORMAT)]:DIR:_files -/"
  "--baseline[write changes against this quiet hour, from \'anyecg baseline\']:FILE:_files"
  "--no-waves[do not measure P, QRS and T, which takes most of the time]"
  "--subject[the patient, such as Patient\/123 (default\: none)]:REFERENCE:"
  "--every[write the newest estimate of each interval\; 0 writes every hop (default\: 5)]:MINUTES:"
  "--no-ecg[leave out the ECG]"
  ":folder of \'anyecg run --session-dir\':_files -/"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_export_defaults_added=0

_shtab_anyecg_finetune_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--init[a .pth or .safetensors file, or \'scratch\']:CHECKPOINT:_files"
  "--data[folder of \'anyecg prepare\']:DIR:_files -/"
  "--out[folder of the teacher, states and logs]:DIR:_files -/"
  "--mode[train every weight, or the last layer only (a linear probe)\; default full]:mode:(full probe)"
  "--shape[network for \'scratch\'\; default clef-small]:shape:(ecgfounder clef-small small tiny)"
  "--stride[stride of a checkpoint\'s stages (default\: that of the file, or 2)]:N:"
  "--bn[batch normalisation (default\: that of the checkpoint, or off\; on for \'scratch\')]:bn:(on off)"
  "--lead[lead of a twelve-lead checkpoint\; default II]:lead:(I II III aVR aVL aVF V1 V2 V3 V4 V5 V6)"
  "--key[name of the network in a checkpoint with several]:NAME:"
  "--epochs[most epochs\; default 100]:N:"
  "--patience[end after so many epochs without a better macro AUROC\; default 10]:N:"
  "--batch[batch size over all workers\; default 64]:N:"
  "--passes[compute a batch in so many parts, to save memory\; default 1]:N:"
  "--rate[peak learning rate (default\: full 3e-05, scratch 0.001, probe 0.001)]:R:"
  "--decay[weight decay\; default 0.0005]:D:"
  "--clip[largest norm of the gradient\; default 0]:G:"
  "--positive-weight[largest weight of a rare positive, 1 for equal weights\; default 10]:W:"
  "--value-weight[weight of a value\; default 1]:W:"
  "--per-visit[segments of a visit in an epoch, drawn again for each epoch\; 0 for all (default)]:N:"
  "--val-segments[most segments of val\; default 20000]:N:"
  "--average[use a moving average of the weights with the factor A per step\; default 0, none]:A:"
  "--reshape[chance of changed wave shapes, useful with few patients\; default 0]:P:"
  "--reshape-size[size of that change\; default 1]:S:"
  "--no-augment[train without augmentation]"
  "--precision[precision of the computation\; auto\: half on a GPU]:precision:(auto float32 bfloat16 float16)"
  "--seed[seed of all random numbers\; default 1]:S:"
  "--save-minutes[time between saved states\; default 10]:M:"
  "--quiet[show no progress]"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_finetune_defaults_added=0

_shtab_anyecg_firmware_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  ":folder to create, such as \~\/Arduino\/libraries\/AnyECG:_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_firmware_defaults_added=0

_shtab_anyecg_lint_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "*--target[check this target\; may be repeated\; default\: every kernel library and at least one preset]:target:(c99 tflm cmsis-nn esp-nn nano micro small)"
  "--json[write JSON to standard output instead of text]"
  ":.tflite file, or a bundle (folder, zip, \'demo\'):_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_lint_defaults_added=0

_shtab_anyecg_mark_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--at[time of the change, such as 2026-01-31T08\:30\:00Z (default\: now)]:TIME:"
  ":folder of \'anyecg run --session-dir\':_files -/"
  ":lying, sitting, standing, walking, or any word\; \'end\' ends the last one:"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_mark_defaults_added=0

_shtab_anyecg_micro_package_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--runtime[c99\: the network as plain C, without a library\; tflm\: the model for TFLite Micro\; default\: c99]:runtime:(c99 tflm)"
  "--out[new folder, or an older package]:DIR:_files -/"
  ":folder, zip, or \'demo\':_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_micro_package_defaults_added=0

_shtab_anyecg_prepare_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--mcmed[folder in the MC-MED layout, real or simulated]:DIR:_files -/"
  "--mimic-iv-ecg[folder of MIMIC-IV-ECG or its demo\; --lead default\: I,II]:DIR:_files -/"
  "--mimic-iv[folder of MIMIC-IV or its demo, with the results]:DIR:_files -/"
  "--records[folder of WFDB or EDF recordings\; needs --labs]:DIR:_files -/"
  "--fs[sampling rate of recordings that do not state it]:HZ:"
  "--lsb-mv[millivolts per count of recordings that do not state their scale]:MV:"
  "--lead[lead to read of each recording\; default\: II, MLII or I]:NAME:"
  "--labs[laboratory results for --records]:CSV:_files"
  "--out[output folder]:DIR:_files -/"
  "--labels[label file (TOML)\; default\: that of the package]:FILE:_files"
  "--plan[label plan of the package\; default\: that of the data set]:plan:(mcmed mimic cardiolab)"
  "--min-values[results that an output needs, instead of the plan\'s]:N:"
  "--min-positives[abnormal results that an output needs]:N:"
  "--split[split of MC-MED (default random)]:split:(random chrono)"
  "--scheduler[workers\: none (this process), threads\:N, processes\:N, or tcp\:\/\/HOST\:PORT of a Dask cluster]:WHO:"
  "--patients-per-shard[patients in a shard, the unit of work (default 8)]:N:"
  "--skip-broken[skip and count recordings that cannot be read]"
  "--list-labs[list the catalogue of laboratory indicators]"
  "--quiet[show no progress]"
  "--json[write JSON to standard output instead of text]"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_prepare_defaults_added=0

_shtab_anyecg_report_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--out[the page (default\: SESSION.html)]:FILE.html:_files"
  "--no-ecg[leave out the ECG, which takes about 13 MB a day]"
  "--baseline[show changes against this quiet hour, from \'anyecg baseline\']:FILE:_files"
  "--force[replace an existing page]"
  ":folder of \'anyecg run --session-dir\':_files -/"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_report_defaults_added=0

_shtab_anyecg_run_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "*--source[replay\:FILE, serial\:\/dev\/ttyACM0, sim\:, record\:FILE,URL ...\; several patches, each URL or NAME\=URL, run at the same time\; a folder, a pattern or several recordings give one estimate each]:URL:_anyecg_source"
  "--bundle[bundle folder or zip\; \'demo\' is in the package]:DIR:_files -/"
  "--trusted[file of public keys\; refuse a bundle that none of them has signed]:KEYS:"
  "--out[append estimates as JSON Lines to FILE, or write them to standard output]:FILE|-:_files"
  "--mqtt[publish to this broker\: mqtts\:\/\/USER\@HOST\/PREFIX\; see docs\/mqtt.md]:URL:"
  "--http[show a page in the browser at this address\: 127.0.0.1\:8080\; see docs\/page.md]:ADDRESS:"
  "--http-token-file[file with the token that opens the page]:FILE:_files"
  "--lsl[offer the ECG and the estimates as LSL streams \'NAME ECG\' and \'NAME estimates\' (default\: anyecg)]:NAME:"
  "*--sink[also send results to a sink of another package]:NAME:...:"
  "--seconds[stop after N seconds of signal]:N:"
  "--speed[replay at X times real time, or as fast as possible]:X|max:"
  "--hop[seconds between estimates (default 1)]:S:"
  "--reasons[say in each estimate what it rests on\; see docs\/explain.md]"
  "--session-dir[write estimates, beats, events and summary to DIR]:DIR:_files -/"
  "--keep[size or age of what stays in session folders (2GB, 30d, 2GB,30d, all\; default 2GB of this session)\; when given, it counts and removes the oldest finished sessions beside DIR, too]:LIMIT:"
  "--record[also record the raw frames with their arrival times, in FILE.aer or in the session folder]:FILE:_files"
  "--device-profile[scale, polarity and rate of the board\; see docs\/calibrate.md]:FILE:_files"
  "--person[TOML file with this person\'s own laboratory results, which anchor the values]:FILE:_files"
  "--baseline[quiet hour of this person, from \'anyecg baseline\'\; shows changes against it]:FILE:_files"
  "--trust-patch[take the estimates that a patch makes itself, and check them]"
  "--view[display\: live screen, plain lines, or none]:view:(auto live plain none)"
  "--picture[write the last screen as a picture]:FILE.svg:_files"
  "--force[replace an existing picture]"
  "--backend[interpreter of the model]:backend:(auto litert litert-reference tflite-runtime tflm)"
  "--wait[wait even for a device that may not be opened, as a service]"
  "--config[TOML file that sets these options by name]:FILE:_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_run_defaults_added=0

_shtab_anyecg_scan_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--seconds[seconds to listen (default 8)]:N:"
  "--adapter[Bluetooth adapter (default\: the first)]:hciX:"
  "--all[also list Bluetooth devices of an unknown kind]"
  "--json[write JSON to standard output instead of text]"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_scan_defaults_added=0

_shtab_anyecg_service_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--source[install\: the patch, as \'anyecg scan\' prints it]:URL:_anyecg_source"
  "--config[install\: options of \'anyecg run\' as TOML]:FILE:_files"
  "--force[install\: replace what was changed by hand]"
  "--no-start[install\: start it at the next boot, not now]"
  "--print[install\: print the files, change nothing]"
  "--root[write below DIR, the system of another computer]:DIR:_files -/"
  "--json[write JSON to standard output instead of text]"
  ":action:(install status remove)"
  ":name of the patch, such as bedroom\: anyecg\@NAME.service:"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_service_defaults_added=0

_shtab_anyecg_sessions_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--json[write JSON to standard output instead of text]"
  "(*)::session folder, or a folder that holds some, up to 2 levels below (default\: this folder):_files -/"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_sessions_defaults_added=0

_shtab_anyecg_simulate_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--layout[default mcmed]:layout:(mcmed mimic-iv)"
  "--patients[number of patients]:N:"
  "--seed[the same seed gives the same bytes (default 0)]:S:"
  "--out[output folder\; must be new or empty]:DIR:_files -/"
  "--seconds[length of the ECG of a visit (default 120)]:T:"
  "--dirt[plant faults of real data, and count them in DIRT.json]"
  "--test-share[share of the patients in the part test (default 0.1)]:S:"
  "--visits[mean number of visits of a patient, 1 to 4\; MC-MED has 1.68 (default\: 12 \% of the patients have two)]:V:"
  "--ecgs[ECGs in the MIMIC-IV layout]:N:"
  "--full[folders as in the full MIMIC-IV-ECG, not as in its demo]"
  "--quiet[show no progress]"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_simulate_defaults_added=0

_shtab_anyecg_train_demo_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--out[output folder of the bundle]:DIR:_files -/"
  "--name[name of the bundle (default\: that of its folder)]:name:"
  "--version[version of the bundle (default\: 0.1.0)]:version:"
  "--work[intermediate files (default\: OUT.work)]:DIR:_files -/"
  "--patients[default 20000]:N:"
  "--seed[default 1]:S:"
  "--seconds[record length\; default 36.0]:seconds:"
  "--teacher[default clef-small]:teacher:(clef-small ecgfounder ecgfounder-shallow tiny tiny-grown tiny-shallow)"
  "--varied[ECGs of varied shapes\; default 20000]:N:"
  "*--imitate[real recordings without labels, on which the student imitates its teacher\; may be repeated]:DIR:_files -/"
  "--imitate-leads[their leads, separated by commas, or all\; default all]:NAMES:"
  "--imitate-copies[further forms of each lead\; default 15]:N:"
  "--imitate-source[their source and licence, for the model card]:TEXT:"
  "--preset[default micro]:preset:(micro nano small)"
  "--teacher-epochs[default 6]:N:"
  "--float-epochs[default 30]:N:"
  "--quant-epochs[default 3]:N:"
  "--teacher-only[train and judge the teacher alone\; OUT gets its checkpoint and the patients that judged it]"
  "--compare[recordings to compare student and teacher on]:DIR:_files -/"
  "--fs[sampling rate of recordings that do not state it]:HZ:"
  "--lsb-mv[millivolts per count of recordings that do not state their scale]:MV:"
  "--lead[lead to read of each recording\; default\: II, MLII or I]:NAME:"
  "--scheduler[who labels\: none, threads\:N, processes\:N, tcp\:\/\/HOST\:PORT of a Dask cluster (default\: 2 processes)]:WHO:"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_train_demo_defaults_added=0

_shtab_anyecg_validate_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--data[data folder\: MC-MED layout, or with labels.csv]:DIR:_files -/"
  "--fs[sampling rate of recordings that do not state it]:HZ:"
  "--lsb-mv[millivolts per count of recordings that do not state their scale]:MV:"
  "--lead[lead to read of each recording\; default\: II, MLII or I]:NAME:"
  "--out[folder of report and intermediate files]:DIR:_files -/"
  "--plan-size[only print how many patients the claims need for intervals of this width\; default 0.1]:WIDTH:"
  "--prevalence[share of abnormal results for --plan-size]:P:"
  "--split[part of the data (default test)]:split:(test val chrono-test all)"
  "--reference[bundle, checkpoint, folder of \'anyecg finetune\', logits (.npz), or \'float\']:WHAT:"
  "--outputs[description of a checkpoint\'s outputs (JSON)]:FILE:_files"
  "--label-plan[label file of \'anyecg prepare\' (default\: that of the bundle)]:FILE:_files"
  "--margin[non-inferiority margin, AUROC (default 0.01)]:M:"
  "--gate[limits of the gate, in the format of calibration\/data\/validate.toml]:FILE:_files"
  "--seed[seed\; default 1]:S:"
  "--hop[seconds between windows\; default 1.0]:S:"
  "--resamples[bootstrap draws\; default 1000]:N:"
  "--robustness[number of recordings to disturb\; default 40, 0 for none]:N:"
  "--jobs[number of processes]:N:"
  "--limit[use only the first N recordings]:N:"
  "--one-recording-a-patient[treat each recording as a separate patient]"
  "--external[data folder of another source, to compare each output]:DIR:_files -/"
  "--external-split[part of the other source (default all)]:external_split:(test val chrono-test all)"
  "--external-fs[sampling rate of recordings that do not state it, for --external]:HZ:"
  "--external-lsb-mv[millivolts per count of recordings that do not state their scale, for --external]:MV:"
  "--external-lead[lead to read of each recording, for --external\; default\: II, MLII or I]:NAME:"
  "--write-evidence[write the evidence into the bundle if the gate holds]"
  "--quiet[show no progress]"
  "--json[write JSON to standard output instead of text]"
  ":bundle folder, zip, or \'demo\':_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_validate_defaults_added=0

_shtab_anyecg_version_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--json[write JSON to standard output instead of text]"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_version_defaults_added=0

_shtab_anyecg_virtual_patch_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--link[name of the port to create]:link:_files"
  "--recording[CSV or .npy file in millivolts, at the patch\'s rate]:recording:_files"
  "--column[column]:column:"
  "--loop[repeat the recording when it ends]"
  "--hr[hr]:hr:"
  "--potassium[mmol\/L]:potassium:"
  "--calcium[mmol\/L]:calcium:"
  "--noise[factor of the usual noise\; 0 for none]:noise:"
  "*--set[ECG parameter]:NAME=VALUE:"
  "--seed[seed]:seed:"
  "--signal[test signal instead of a heart]:signal:(ecg pulse sine sweep shorted)"
  "--amplitude-mv[calibrator\: highest minus lowest value, mV]:amplitude_mv:"
  "--hz[calibrator\: frequency of the sine, Hz]:hz:"
  "--board-gain[calibrator\: board gain\; negative if swapped]:board_gain:"
  "--board-offset-mv[board_offset_mv]:board_offset_mv:"
  "--board-highpass-hz[board_highpass_hz]:board_highpass_hz:"
  "--board-lowpass-hz[board_lowpass_hz]:board_lowpass_hz:"
  "--board-noise-mv[board_noise_mv]:board_noise_mv:"
  "--c[run the example patch in C, see docs\/firmware.md]"
  "--fs[sampling rate, Hz]:fs:"
  "--bits[bits]:bits:(16 24)"
  "--nv[nanovolts per count\; 0 hides the scale]:nv:"
  "--frame-s[duration of a frame, s]:frame_s:"
  "--ring-s[seconds of samples it keeps to resend on request]:ring_s:"
  "--faults[fault schedule, such as \'unplug\@30\:5\;restart\@90\'\; with --ring-s 60 also \'drop\=0.01\']:faults:"
  "--speed[factor of real time]:speed:"
  "--seconds[seconds]:seconds:"
)

# guard to ensure default positional specs are added only once per session
_shtab_anyecg_virtual_patch_defaults_added=0


_shtab_anyecg() {
  local context state line curcontext="$curcontext" one_or_more='(*)' remainder='(-)*:' default='*::: :->anyecg'

  # Add default positional/remainder specs only if none exist, and only once per session
  if (( ! _shtab_anyecg_defaults_added )); then
    if (( ${_shtab_anyecg_options[(I)${(q)one_or_more}*]} +          ${_shtab_anyecg_options[(I)${(q)remainder}*]} +          ${_shtab_anyecg_options[(I)${(q)default}]} == 0 )); then
      _shtab_anyecg_options+=(': :_shtab_anyecg_commands' '*::: :->anyecg')
    fi
    _shtab_anyecg_defaults_added=1
  fi
  _arguments -C -s $_shtab_anyecg_options

  case $state in
    anyecg)
      words=($line[1] "${words[@]}")
      (( CURRENT += 1 ))
      curcontext="${curcontext%:*:*}:_shtab_anyecg-$line[1]:"
      case $line[1] in
        baseline) _arguments -C -s $_shtab_anyecg_baseline_options ;;
        bench) _arguments -C -s $_shtab_anyecg_bench_options ;;
        bundle) _shtab_anyecg_bundle ;;
        calibrate) _shtab_anyecg_calibrate ;;
        collect) _arguments -C -s $_shtab_anyecg_collect_options ;;
        completion) _arguments -C -s $_shtab_anyecg_completion_options ;;
        convert) _shtab_anyecg_convert ;;
        demo) _arguments -C -s $_shtab_anyecg_demo_options ;;
        devices) _arguments -C -s $_shtab_anyecg_devices_options ;;
        doctor) _arguments -C -s $_shtab_anyecg_doctor_options ;;
        estimates) _arguments -C -s $_shtab_anyecg_estimates_options ;;
        evaluate) _arguments -C -s $_shtab_anyecg_evaluate_options ;;
        explain) _arguments -C -s $_shtab_anyecg_explain_options ;;
        export) _arguments -C -s $_shtab_anyecg_export_options ;;
        finetune) _arguments -C -s $_shtab_anyecg_finetune_options ;;
        firmware) _arguments -C -s $_shtab_anyecg_firmware_options ;;
        lint) _arguments -C -s $_shtab_anyecg_lint_options ;;
        mark) _arguments -C -s $_shtab_anyecg_mark_options ;;
        micro-package) _arguments -C -s $_shtab_anyecg_micro_package_options ;;
        prepare) _arguments -C -s $_shtab_anyecg_prepare_options ;;
        report) _arguments -C -s $_shtab_anyecg_report_options ;;
        run) _arguments -C -s $_shtab_anyecg_run_options ;;
        scan) _arguments -C -s $_shtab_anyecg_scan_options ;;
        service) _arguments -C -s $_shtab_anyecg_service_options ;;
        sessions) _arguments -C -s $_shtab_anyecg_sessions_options ;;
        simulate) _arguments -C -s $_shtab_anyecg_simulate_options ;;
        train-demo) _arguments -C -s $_shtab_anyecg_train_demo_options ;;
        validate) _arguments -C -s $_shtab_anyecg_validate_options ;;
        version) _arguments -C -s $_shtab_anyecg_version_options ;;
        virtual-patch) _arguments -C -s $_shtab_anyecg_virtual_patch_options ;;
      esac
  esac
}

_shtab_anyecg_bundle() {
  local context state line curcontext="$curcontext" one_or_more='(*)' remainder='(-)*:' default='*::: :->bundle'

  # Add default positional/remainder specs only if none exist, and only once per session
  if (( ! _shtab_anyecg_bundle_defaults_added )); then
    if (( ${_shtab_anyecg_bundle_options[(I)${(q)one_or_more}*]} +          ${_shtab_anyecg_bundle_options[(I)${(q)remainder}*]} +          ${_shtab_anyecg_bundle_options[(I)${(q)default}]} == 0 )); then
      _shtab_anyecg_bundle_options+=(': :_shtab_anyecg_bundle_commands' '*::: :->bundle')
    fi
    _shtab_anyecg_bundle_defaults_added=1
  fi
  _arguments -C -s $_shtab_anyecg_bundle_options

  case $state in
    bundle)
      words=($line[1] "${words[@]}")
      (( CURRENT += 1 ))
      curcontext="${curcontext%:*:*}:_shtab_anyecg_bundle-$line[1]:"
      case $line[1] in
        diff) _arguments -C -s $_shtab_anyecg_bundle_diff_options ;;
        install) _arguments -C -s $_shtab_anyecg_bundle_install_options ;;
        keygen) _arguments -C -s $_shtab_anyecg_bundle_keygen_options ;;
        make) _arguments -C -s $_shtab_anyecg_bundle_make_options ;;
        pack) _arguments -C -s $_shtab_anyecg_bundle_pack_options ;;
        show) _arguments -C -s $_shtab_anyecg_bundle_show_options ;;
        sign) _arguments -C -s $_shtab_anyecg_bundle_sign_options ;;
        verify) _arguments -C -s $_shtab_anyecg_bundle_verify_options ;;
      esac
  esac
}

_shtab_anyecg_calibrate() {
  local context state line curcontext="$curcontext" one_or_more='(*)' remainder='(-)*:' default='*::: :->calibrate'

  # Add default positional/remainder specs only if none exist, and only once per session
  if (( ! _shtab_anyecg_calibrate_defaults_added )); then
    if (( ${_shtab_anyecg_calibrate_options[(I)${(q)one_or_more}*]} +          ${_shtab_anyecg_calibrate_options[(I)${(q)remainder}*]} +          ${_shtab_anyecg_calibrate_options[(I)${(q)default}]} == 0 )); then
      _shtab_anyecg_calibrate_options+=(': :_shtab_anyecg_calibrate_commands' '*::: :->calibrate')
    fi
    _shtab_anyecg_calibrate_defaults_added=1
  fi
  _arguments -C -s $_shtab_anyecg_calibrate_options

  case $state in
    calibrate)
      words=($line[1] "${words[@]}")
      (( CURRENT += 1 ))
      curcontext="${curcontext%:*:*}:_shtab_anyecg_calibrate-$line[1]:"
      case $line[1] in
        device) _arguments -C -s $_shtab_anyecg_calibrate_device_options ;;
        fuse) _arguments -C -s $_shtab_anyecg_calibrate_fuse_options ;;
        person) _arguments -C -s $_shtab_anyecg_calibrate_person_options ;;
        probability) _arguments -C -s $_shtab_anyecg_calibrate_probability_options ;;
        rhythm) _arguments -C -s $_shtab_anyecg_calibrate_rhythm_options ;;
      esac
  esac
}

_shtab_anyecg_convert() {
  local context state line curcontext="$curcontext" one_or_more='(*)' remainder='(-)*:' default='*::: :->convert'

  # Add default positional/remainder specs only if none exist, and only once per session
  if (( ! _shtab_anyecg_convert_defaults_added )); then
    if (( ${_shtab_anyecg_convert_options[(I)${(q)one_or_more}*]} +          ${_shtab_anyecg_convert_options[(I)${(q)remainder}*]} +          ${_shtab_anyecg_convert_options[(I)${(q)default}]} == 0 )); then
      _shtab_anyecg_convert_options+=(': :_shtab_anyecg_convert_commands' '*::: :->convert')
    fi
    _shtab_anyecg_convert_defaults_added=1
  fi
  _arguments -C -s $_shtab_anyecg_convert_options

  case $state in
    convert)
      words=($line[1] "${words[@]}")
      (( CURRENT += 1 ))
      curcontext="${curcontext%:*:*}:_shtab_anyecg_convert-$line[1]:"
      case $line[1] in
        foundation) _arguments -C -s $_shtab_anyecg_convert_foundation_options ;;
        inspect) _arguments -C -s $_shtab_anyecg_convert_inspect_options ;;
        micro) _arguments -C -s $_shtab_anyecg_convert_micro_options ;;
        parity) _arguments -C -s $_shtab_anyecg_convert_parity_options ;;
      esac
  esac
}

# Custom Preamble
_anyecg_source() {
  if [[ "$PREFIX" == replay:* ]]; then
    compset -P 'replay:'
    _files
  else
    compadd -S '' -- serial: tcp: sim: record: replay: ble:anyecg_patch ble:healthypi5 ble:healthypi_move ble:movesense ble:openbci_ganglion ble:polar_h10
  fi
}

# End Custom Preamble


typeset -A opt_args

if [[ $zsh_eval_context[-1] == eval ]]; then
  # eval/source/. command, register function for later
  compdef _shtab_anyecg -N anyecg
else
  # autoload from fpath, call function directly
  _shtab_anyecg "$@"
fi
