# Completion of anyecg for bash. Written by packaging/completion.py with shtab; do not edit.
# Usage:
# 1) Copy this to somewhere (e.g. ~/.local/share/bash_completion/anyecg).
# 2) Add the following line to your .bashrc:
#    source ~/.local/share/bash_completion/anyecg
# See also: https://github.com/scop/bash-completion/blob/main/doc/configuration.md

_shtab_anyecg_bundle_subparsers=(show verify diff install keygen make pack sign)
_shtab_anyecg_convert_subparsers=(inspect foundation micro parity)
_shtab_anyecg_calibrate_subparsers=(device probability fuse rhythm person)
_shtab_anyecg_subparsers=(run demo bundle estimates sessions report baseline mark explain export collect bench doctor devices scan service completion version virtual-patch firmware simulate prepare finetune convert calibrate train-demo validate evaluate lint micro-package)

_shtab_anyecg_run_option_strings=(-h --help --source --bundle --trusted --out --mqtt --http --http-token-file --lsl --sink --seconds --speed --hop --reasons --session-dir --keep --record --device-profile --person --baseline --trust-patch --view --picture --force --backend --wait --config)
_shtab_anyecg_demo_option_strings=(-h --help --seconds --hop --bundle --potassium --hr --faults --seed --http --out --view --picture --force)
_shtab_anyecg_bundle_show_option_strings=(-h --help --backend --trusted --json)
_shtab_anyecg_bundle_verify_option_strings=(-h --help --backend --trusted --json)
_shtab_anyecg_bundle_diff_option_strings=(-h --help --data --windows --fs --lsb-mv --lead --backend --json)
_shtab_anyecg_bundle_install_option_strings=(-h --help --to --trusted --back --backend)
_shtab_anyecg_bundle_keygen_option_strings=(-h --help --name)
_shtab_anyecg_bundle_make_option_strings=(-h --help --outputs --front-end --out --data --output --name --version --licence --windows --fs --lsb-mv --lead --json)
_shtab_anyecg_bundle_pack_option_strings=(-h --help)
_shtab_anyecg_bundle_sign_option_strings=(-h --help --key)
_shtab_anyecg_bundle_option_strings=(-h --help --backend --trusted --json)
_shtab_anyecg_estimates_option_strings=(-h --help)
_shtab_anyecg_sessions_option_strings=(-h --help --json)
_shtab_anyecg_report_option_strings=(-h --help --out --no-ecg --baseline --force)
_shtab_anyecg_baseline_option_strings=(-h --help --out --from --to --posture --montage --force --json)
_shtab_anyecg_mark_option_strings=(-h --help --at)
_shtab_anyecg_explain_option_strings=(-h --help --head --picture --json)
_shtab_anyecg_export_option_strings=(-h --help --to --out --baseline --no-waves --subject --every --no-ecg)
_shtab_anyecg_collect_option_strings=(-h --help --to --from --patch --keep --tidy --seconds --progress --json)
_shtab_anyecg_bench_option_strings=(-h --help --bundle --hours --reasons --json)
_shtab_anyecg_doctor_option_strings=(-h --help --json --need)
_shtab_anyecg_devices_option_strings=(-h --help --json --markdown)
_shtab_anyecg_scan_option_strings=(-h --help --seconds --adapter --all --json)
_shtab_anyecg_service_option_strings=(-h --help --source --config --force --no-start --print --root --json)
_shtab_anyecg_completion_option_strings=(-h --help)
_shtab_anyecg_version_option_strings=(-h --help --json)
_shtab_anyecg_virtual_patch_option_strings=(-h --help --link --recording --column --loop --hr --potassium --calcium --noise --set --seed --signal --amplitude-mv --hz --board-gain --board-offset-mv --board-highpass-hz --board-lowpass-hz --board-noise-mv --c --fs --bits --nv --frame-s --ring-s --faults --speed --seconds)
_shtab_anyecg_firmware_option_strings=(-h --help)
_shtab_anyecg_simulate_option_strings=(-h --help --layout --patients --seed --out --seconds --dirt --test-share --visits --ecgs --full --quiet)
_shtab_anyecg_prepare_option_strings=(-h --help --mcmed --mimic-iv-ecg --mimic-iv --records --fs --lsb-mv --lead --labs --out --labels --plan --min-values --min-positives --split --scheduler --patients-per-shard --skip-broken --list-labs --quiet --json)
_shtab_anyecg_finetune_option_strings=(-h --help --init --data --out --mode --shape --stride --bn --lead --key --epochs --patience --batch --passes --rate --decay --clip --positive-weight --value-weight --per-visit --val-segments --average --reshape --reshape-size --no-augment --precision --seed --save-minutes --quiet)
_shtab_anyecg_convert_inspect_option_strings=(-h --help --stride --bn --key)
_shtab_anyecg_convert_foundation_option_strings=(-h --help --outputs --data --fs --lsb-mv --lead --form --out --name --version --licence --stride --bn --key --tune --calibration-windows --evaluation-windows --gates --accept-loss --labels --label-plan --choice --json)
_shtab_anyecg_convert_micro_option_strings=(-h --help --data --varied --out --labels --label-plan --compare --outputs --stride --bn --key --licence --preset --name --version --workdir --seed --fs --lsb-mv --lead --hop --windows --float-epochs --quant-epochs --disturbed --scheduler)
_shtab_anyecg_convert_parity_option_strings=(-h --help --checkpoint --data --fs --lsb-mv --lead --original --windows --report --json)
_shtab_anyecg_convert_option_strings=()
_shtab_anyecg_calibrate_device_option_strings=(-h --help --source --signal --amplitude-mv --hz --seconds --add-to --name --out --force)
_shtab_anyecg_calibrate_probability_option_strings=(-h --help --data --fs --lsb-mv --lead --split --label-plan --out --methods --threshold --abstain --seed --hop --jobs --limit --one-recording-a-patient --quiet --json)
_shtab_anyecg_calibrate_fuse_option_strings=(-h --help --data --fs --lsb-mv --lead --split --label-plan --out --threshold --seed --hop --jobs --limit --one-recording-a-patient --quiet --json)
_shtab_anyecg_calibrate_rhythm_option_strings=(-h --help --rhythms --heads --out)
_shtab_anyecg_calibrate_person_option_strings=(-h --help --lab --at --estimates --session-dir --person --name --bundle --within --max-age --between-sd --within-sd)
_shtab_anyecg_calibrate_option_strings=()
_shtab_anyecg_train_demo_option_strings=(-h --help --out --name --version --work --patients --seed --seconds --teacher --varied --imitate --imitate-leads --imitate-copies --imitate-source --preset --teacher-epochs --float-epochs --quant-epochs --teacher-only --compare --fs --lsb-mv --lead --scheduler)
_shtab_anyecg_validate_option_strings=(-h --help --data --fs --lsb-mv --lead --out --plan-size --prevalence --split --reference --outputs --label-plan --margin --gate --seed --hop --resamples --robustness --jobs --limit --one-recording-a-patient --external --external-split --external-fs --external-lsb-mv --external-lead --write-evidence --quiet --json)
_shtab_anyecg_evaluate_option_strings=(-h --help --data --out --split --outputs --stride --bn --key --protocol --reference --margin --no-baselines --baseline-segments --seed --resamples --jobs --scheduler --quiet --json)
_shtab_anyecg_lint_option_strings=(-h --help --target --json)
_shtab_anyecg_micro_package_option_strings=(-h --help --runtime --out)
_shtab_anyecg_option_strings=(-h --help)

_shtab_anyecg_run___source_COMPGEN=''
_shtab_anyecg_run___bundle_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_run___out_COMPGEN=_shtab_compgen_files
_shtab_anyecg_run___http_token_file_COMPGEN=_shtab_compgen_files
_shtab_anyecg_run___session_dir_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_run___record_COMPGEN=_shtab_compgen_files
_shtab_anyecg_run___device_profile_COMPGEN=_shtab_compgen_files
_shtab_anyecg_run___person_COMPGEN=_shtab_compgen_files
_shtab_anyecg_run___baseline_COMPGEN=_shtab_compgen_files
_shtab_anyecg_run___picture_COMPGEN=_shtab_compgen_files
_shtab_anyecg_run___config_COMPGEN=_shtab_compgen_files
_shtab_anyecg_demo___bundle_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_demo___out_COMPGEN=_shtab_compgen_files
_shtab_anyecg_demo___picture_COMPGEN=_shtab_compgen_files
_shtab_anyecg_bundle_show___trusted_COMPGEN=_shtab_compgen_files
_shtab_anyecg_bundle_verify___trusted_COMPGEN=_shtab_compgen_files
_shtab_anyecg_bundle_diff___data_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_bundle_install_pos_0_COMPGEN=_shtab_compgen_files
_shtab_anyecg_bundle_install___to_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_bundle_install___trusted_COMPGEN=_shtab_compgen_files
_shtab_anyecg_bundle_keygen_pos_0_COMPGEN=_shtab_compgen_files
_shtab_anyecg_bundle_make_pos_0_COMPGEN=_shtab_compgen_files
_shtab_anyecg_bundle_make___outputs_COMPGEN=_shtab_compgen_files
_shtab_anyecg_bundle_make___out_COMPGEN=_shtab_compgen_files
_shtab_anyecg_bundle_make___data_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_bundle_pack_pos_0_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_bundle_pack_pos_1_COMPGEN=_shtab_compgen_files
_shtab_anyecg_bundle_sign_pos_0_COMPGEN=_shtab_compgen_files
_shtab_anyecg_bundle_sign___key_COMPGEN=_shtab_compgen_files
_shtab_anyecg_bundle___trusted_COMPGEN=_shtab_compgen_files
_shtab_anyecg_estimates_pos_0_COMPGEN=_shtab_compgen_files
_shtab_anyecg_sessions_pos_0_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_report_pos_0_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_report___out_COMPGEN=_shtab_compgen_files
_shtab_anyecg_report___baseline_COMPGEN=_shtab_compgen_files
_shtab_anyecg_baseline_pos_0_COMPGEN=_shtab_compgen_files
_shtab_anyecg_baseline___out_COMPGEN=_shtab_compgen_files
_shtab_anyecg_mark_pos_0_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_explain_pos_0_COMPGEN=_shtab_compgen_files
_shtab_anyecg_explain___picture_COMPGEN=_shtab_compgen_files
_shtab_anyecg_export_pos_0_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_export___out_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_export___baseline_COMPGEN=_shtab_compgen_files
_shtab_anyecg_collect___from_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_bench___bundle_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_service___source_COMPGEN=''
_shtab_anyecg_service___config_COMPGEN=_shtab_compgen_files
_shtab_anyecg_service___root_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_virtual_patch___link_COMPGEN=_shtab_compgen_files
_shtab_anyecg_virtual_patch___recording_COMPGEN=_shtab_compgen_files
_shtab_anyecg_firmware_pos_0_COMPGEN=_shtab_compgen_files
_shtab_anyecg_simulate___out_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_prepare___mcmed_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_prepare___mimic_iv_ecg_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_prepare___mimic_iv_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_prepare___records_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_prepare___labs_COMPGEN=_shtab_compgen_files
_shtab_anyecg_prepare___out_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_prepare___labels_COMPGEN=_shtab_compgen_files
_shtab_anyecg_finetune___init_COMPGEN=_shtab_compgen_files
_shtab_anyecg_finetune___data_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_finetune___out_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_convert_inspect_pos_0_COMPGEN=_shtab_compgen_files
_shtab_anyecg_convert_foundation_pos_0_COMPGEN=_shtab_compgen_files
_shtab_anyecg_convert_foundation___outputs_COMPGEN=_shtab_compgen_files
_shtab_anyecg_convert_foundation___data_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_convert_foundation___out_COMPGEN=_shtab_compgen_files
_shtab_anyecg_convert_foundation___gates_COMPGEN=_shtab_compgen_files
_shtab_anyecg_convert_foundation___labels_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_convert_foundation___label_plan_COMPGEN=_shtab_compgen_files
_shtab_anyecg_convert_micro_pos_0_COMPGEN=_shtab_compgen_files
_shtab_anyecg_convert_micro___data_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_convert_micro___out_COMPGEN=_shtab_compgen_files
_shtab_anyecg_convert_micro___labels_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_convert_micro___label_plan_COMPGEN=_shtab_compgen_files
_shtab_anyecg_convert_micro___compare_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_convert_micro___outputs_COMPGEN=_shtab_compgen_files
_shtab_anyecg_convert_micro___workdir_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_convert_parity_pos_0_COMPGEN=_shtab_compgen_files
_shtab_anyecg_convert_parity___checkpoint_COMPGEN=_shtab_compgen_files
_shtab_anyecg_convert_parity___data_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_convert_parity___original_COMPGEN=_shtab_compgen_files
_shtab_anyecg_convert_parity___report_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_calibrate_device___source_COMPGEN=''
_shtab_anyecg_calibrate_device___add_to_COMPGEN=_shtab_compgen_files
_shtab_anyecg_calibrate_device___out_COMPGEN=_shtab_compgen_files
_shtab_anyecg_calibrate_probability_pos_0_COMPGEN=_shtab_compgen_files
_shtab_anyecg_calibrate_probability___data_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_calibrate_probability___label_plan_COMPGEN=_shtab_compgen_files
_shtab_anyecg_calibrate_probability___out_COMPGEN=_shtab_compgen_files
_shtab_anyecg_calibrate_fuse_pos_0_COMPGEN=_shtab_compgen_files
_shtab_anyecg_calibrate_fuse___data_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_calibrate_fuse___label_plan_COMPGEN=_shtab_compgen_files
_shtab_anyecg_calibrate_fuse___out_COMPGEN=_shtab_compgen_files
_shtab_anyecg_calibrate_rhythm_pos_0_COMPGEN=_shtab_compgen_files
_shtab_anyecg_calibrate_rhythm___out_COMPGEN=_shtab_compgen_files
_shtab_anyecg_calibrate_person___estimates_COMPGEN=_shtab_compgen_files
_shtab_anyecg_calibrate_person___session_dir_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_calibrate_person___person_COMPGEN=_shtab_compgen_files
_shtab_anyecg_calibrate_person___bundle_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_train_demo___out_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_train_demo___work_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_train_demo___imitate_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_train_demo___compare_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_validate_pos_0_COMPGEN=_shtab_compgen_files
_shtab_anyecg_validate___data_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_validate___out_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_validate___outputs_COMPGEN=_shtab_compgen_files
_shtab_anyecg_validate___label_plan_COMPGEN=_shtab_compgen_files
_shtab_anyecg_validate___gate_COMPGEN=_shtab_compgen_files
_shtab_anyecg_validate___external_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_evaluate_pos_0_COMPGEN=_shtab_compgen_files
_shtab_anyecg_evaluate___data_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_evaluate___out_COMPGEN=_shtab_compgen_dirs
_shtab_anyecg_evaluate___outputs_COMPGEN=_shtab_compgen_files
_shtab_anyecg_evaluate___reference_COMPGEN=_shtab_compgen_files
_shtab_anyecg_lint_pos_0_COMPGEN=_shtab_compgen_files
_shtab_anyecg_micro_package_pos_0_COMPGEN=_shtab_compgen_files
_shtab_anyecg_micro_package___out_COMPGEN=_shtab_compgen_dirs

_shtab_anyecg_run___view_choices=(auto live plain none)
_shtab_anyecg_run___backend_choices=(auto litert litert-reference tflite-runtime tflm)
_shtab_anyecg_demo___view_choices=(auto live plain none)
_shtab_anyecg_bundle_make___front_end_choices=(stream/1 ecgfounder/1)
_shtab_anyecg_bundle_pos_0_choices=(show verify diff install keygen make pack sign)
_shtab_anyecg_export___to_choices=(csv wfdb edf parquet fhir)
_shtab_anyecg_doctor___need_choices=(ble serial)
_shtab_anyecg_service_pos_0_choices=(install status remove)
_shtab_anyecg_completion_pos_0_choices=(bash zsh fish)
_shtab_anyecg_virtual_patch___signal_choices=(ecg pulse sine sweep shorted)
_shtab_anyecg_virtual_patch___bits_choices=(16 24)
_shtab_anyecg_simulate___layout_choices=(mcmed mimic-iv)
_shtab_anyecg_prepare___plan_choices=(mcmed mimic cardiolab)
_shtab_anyecg_prepare___split_choices=(random chrono)
_shtab_anyecg_finetune___mode_choices=(full probe)
_shtab_anyecg_finetune___shape_choices=(ecgfounder clef-small small tiny)
_shtab_anyecg_finetune___bn_choices=(on off)
_shtab_anyecg_finetune___lead_choices=(I II III aVR aVL aVF V1 V2 V3 V4 V5 V6)
_shtab_anyecg_finetune___precision_choices=(auto float32 bfloat16 float16)
_shtab_anyecg_convert_inspect___bn_choices=(on off)
_shtab_anyecg_convert_foundation___form_choices=(auto dynamic int8 float16 float32)
_shtab_anyecg_convert_foundation___bn_choices=(on off)
_shtab_anyecg_convert_foundation___choice_choices=(coverage alternate)
_shtab_anyecg_convert_micro___bn_choices=(on off)
_shtab_anyecg_convert_micro___preset_choices=(micro nano small)
_shtab_anyecg_convert_pos_0_choices=(inspect foundation micro parity)
_shtab_anyecg_calibrate_device___signal_choices=(pulse sine sweep shorted)
_shtab_anyecg_calibrate_probability___split_choices=(test val chrono-test all)
_shtab_anyecg_calibrate_fuse___split_choices=(test val chrono-test all)
_shtab_anyecg_calibrate_pos_0_choices=(device probability fuse rhythm person)
_shtab_anyecg_train_demo___teacher_choices=(clef-small ecgfounder ecgfounder-shallow tiny tiny-grown tiny-shallow)
_shtab_anyecg_train_demo___preset_choices=(micro nano small)
_shtab_anyecg_validate___split_choices=(test val chrono-test all)
_shtab_anyecg_validate___external_split_choices=(test val chrono-test all)
_shtab_anyecg_evaluate___split_choices=(test val)
_shtab_anyecg_evaluate___bn_choices=(on off)
_shtab_anyecg_evaluate___protocol_choices=(segments signalmcmed)
_shtab_anyecg_lint___target_choices=(c99 tflm cmsis-nn esp-nn nano micro small)
_shtab_anyecg_micro_package___runtime_choices=(c99 tflm)
_shtab_anyecg_pos_0_choices=(run demo bundle estimates sessions report baseline mark explain export collect bench doctor devices scan service completion version virtual-patch firmware simulate prepare finetune convert calibrate train-demo validate evaluate lint micro-package)

_shtab_anyecg_run__h_nargs=0
_shtab_anyecg_run___help_nargs=0
_shtab_anyecg_run___source_nargs=+
_shtab_anyecg_run___lsl_nargs='?'
_shtab_anyecg_run___reasons_nargs=0
_shtab_anyecg_run___record_nargs='?'
_shtab_anyecg_run___trust_patch_nargs=0
_shtab_anyecg_run___force_nargs=0
_shtab_anyecg_run___wait_nargs=0
_shtab_anyecg_demo__h_nargs=0
_shtab_anyecg_demo___help_nargs=0
_shtab_anyecg_demo___force_nargs=0
_shtab_anyecg_bundle_show__h_nargs=0
_shtab_anyecg_bundle_show___help_nargs=0
_shtab_anyecg_bundle_show___json_nargs=0
_shtab_anyecg_bundle_verify__h_nargs=0
_shtab_anyecg_bundle_verify___help_nargs=0
_shtab_anyecg_bundle_verify___json_nargs=0
_shtab_anyecg_bundle_diff__h_nargs=0
_shtab_anyecg_bundle_diff___help_nargs=0
_shtab_anyecg_bundle_diff___json_nargs=0
_shtab_anyecg_bundle_install__h_nargs=0
_shtab_anyecg_bundle_install___help_nargs=0
_shtab_anyecg_bundle_install___back_nargs=0
_shtab_anyecg_bundle_keygen__h_nargs=0
_shtab_anyecg_bundle_keygen___help_nargs=0
_shtab_anyecg_bundle_make__h_nargs=0
_shtab_anyecg_bundle_make___help_nargs=0
_shtab_anyecg_bundle_make___json_nargs=0
_shtab_anyecg_bundle_pack__h_nargs=0
_shtab_anyecg_bundle_pack___help_nargs=0
_shtab_anyecg_bundle_sign__h_nargs=0
_shtab_anyecg_bundle_sign___help_nargs=0
_shtab_anyecg_bundle_pos_0_nargs=A...
_shtab_anyecg_bundle__h_nargs=0
_shtab_anyecg_bundle___help_nargs=0
_shtab_anyecg_bundle___json_nargs=0
_shtab_anyecg_estimates_pos_0_nargs=+
_shtab_anyecg_estimates__h_nargs=0
_shtab_anyecg_estimates___help_nargs=0
_shtab_anyecg_sessions_pos_0_nargs='*'
_shtab_anyecg_sessions__h_nargs=0
_shtab_anyecg_sessions___help_nargs=0
_shtab_anyecg_sessions___json_nargs=0
_shtab_anyecg_report__h_nargs=0
_shtab_anyecg_report___help_nargs=0
_shtab_anyecg_report___no_ecg_nargs=0
_shtab_anyecg_report___force_nargs=0
_shtab_anyecg_baseline_pos_0_nargs=+
_shtab_anyecg_baseline__h_nargs=0
_shtab_anyecg_baseline___help_nargs=0
_shtab_anyecg_baseline___force_nargs=0
_shtab_anyecg_baseline___json_nargs=0
_shtab_anyecg_mark__h_nargs=0
_shtab_anyecg_mark___help_nargs=0
_shtab_anyecg_explain__h_nargs=0
_shtab_anyecg_explain___help_nargs=0
_shtab_anyecg_explain___json_nargs=0
_shtab_anyecg_export__h_nargs=0
_shtab_anyecg_export___help_nargs=0
_shtab_anyecg_export___no_waves_nargs=0
_shtab_anyecg_export___no_ecg_nargs=0
_shtab_anyecg_collect__h_nargs=0
_shtab_anyecg_collect___help_nargs=0
_shtab_anyecg_collect___from_nargs=+
_shtab_anyecg_collect___tidy_nargs=0
_shtab_anyecg_collect___json_nargs=0
_shtab_anyecg_bench__h_nargs=0
_shtab_anyecg_bench___help_nargs=0
_shtab_anyecg_bench___reasons_nargs=0
_shtab_anyecg_bench___json_nargs=0
_shtab_anyecg_doctor__h_nargs=0
_shtab_anyecg_doctor___help_nargs=0
_shtab_anyecg_doctor___json_nargs=0
_shtab_anyecg_devices__h_nargs=0
_shtab_anyecg_devices___help_nargs=0
_shtab_anyecg_devices___json_nargs=0
_shtab_anyecg_devices___markdown_nargs=0
_shtab_anyecg_scan__h_nargs=0
_shtab_anyecg_scan___help_nargs=0
_shtab_anyecg_scan___all_nargs=0
_shtab_anyecg_scan___json_nargs=0
_shtab_anyecg_service__h_nargs=0
_shtab_anyecg_service___help_nargs=0
_shtab_anyecg_service___force_nargs=0
_shtab_anyecg_service___no_start_nargs=0
_shtab_anyecg_service___print_nargs=0
_shtab_anyecg_service___json_nargs=0
_shtab_anyecg_completion__h_nargs=0
_shtab_anyecg_completion___help_nargs=0
_shtab_anyecg_version__h_nargs=0
_shtab_anyecg_version___help_nargs=0
_shtab_anyecg_version___json_nargs=0
_shtab_anyecg_virtual_patch__h_nargs=0
_shtab_anyecg_virtual_patch___help_nargs=0
_shtab_anyecg_virtual_patch___loop_nargs=0
_shtab_anyecg_virtual_patch___c_nargs=0
_shtab_anyecg_firmware__h_nargs=0
_shtab_anyecg_firmware___help_nargs=0
_shtab_anyecg_simulate__h_nargs=0
_shtab_anyecg_simulate___help_nargs=0
_shtab_anyecg_simulate___dirt_nargs=0
_shtab_anyecg_simulate___full_nargs=0
_shtab_anyecg_simulate___quiet_nargs=0
_shtab_anyecg_prepare__h_nargs=0
_shtab_anyecg_prepare___help_nargs=0
_shtab_anyecg_prepare___skip_broken_nargs=0
_shtab_anyecg_prepare___list_labs_nargs=0
_shtab_anyecg_prepare___quiet_nargs=0
_shtab_anyecg_prepare___json_nargs=0
_shtab_anyecg_finetune__h_nargs=0
_shtab_anyecg_finetune___help_nargs=0
_shtab_anyecg_finetune___no_augment_nargs=0
_shtab_anyecg_finetune___quiet_nargs=0
_shtab_anyecg_convert_inspect__h_nargs=0
_shtab_anyecg_convert_inspect___help_nargs=0
_shtab_anyecg_convert_foundation__h_nargs=0
_shtab_anyecg_convert_foundation___help_nargs=0
_shtab_anyecg_convert_foundation___accept_loss_nargs=0
_shtab_anyecg_convert_foundation___json_nargs=0
_shtab_anyecg_convert_micro__h_nargs=0
_shtab_anyecg_convert_micro___help_nargs=0
_shtab_anyecg_convert_parity__h_nargs=0
_shtab_anyecg_convert_parity___help_nargs=0
_shtab_anyecg_convert_parity___json_nargs=0
_shtab_anyecg_convert_pos_0_nargs=A...
_shtab_anyecg_calibrate_device__h_nargs=0
_shtab_anyecg_calibrate_device___help_nargs=0
_shtab_anyecg_calibrate_device___force_nargs=0
_shtab_anyecg_calibrate_probability__h_nargs=0
_shtab_anyecg_calibrate_probability___help_nargs=0
_shtab_anyecg_calibrate_probability___one_recording_a_patient_nargs=0
_shtab_anyecg_calibrate_probability___quiet_nargs=0
_shtab_anyecg_calibrate_probability___json_nargs=0
_shtab_anyecg_calibrate_fuse__h_nargs=0
_shtab_anyecg_calibrate_fuse___help_nargs=0
_shtab_anyecg_calibrate_fuse___one_recording_a_patient_nargs=0
_shtab_anyecg_calibrate_fuse___quiet_nargs=0
_shtab_anyecg_calibrate_fuse___json_nargs=0
_shtab_anyecg_calibrate_rhythm__h_nargs=0
_shtab_anyecg_calibrate_rhythm___help_nargs=0
_shtab_anyecg_calibrate_person__h_nargs=0
_shtab_anyecg_calibrate_person___help_nargs=0
_shtab_anyecg_calibrate_pos_0_nargs=A...
_shtab_anyecg_train_demo__h_nargs=0
_shtab_anyecg_train_demo___help_nargs=0
_shtab_anyecg_train_demo___teacher_only_nargs=0
_shtab_anyecg_validate__h_nargs=0
_shtab_anyecg_validate___help_nargs=0
_shtab_anyecg_validate___plan_size_nargs='?'
_shtab_anyecg_validate___one_recording_a_patient_nargs=0
_shtab_anyecg_validate___write_evidence_nargs=0
_shtab_anyecg_validate___quiet_nargs=0
_shtab_anyecg_validate___json_nargs=0
_shtab_anyecg_evaluate__h_nargs=0
_shtab_anyecg_evaluate___help_nargs=0
_shtab_anyecg_evaluate___no_baselines_nargs=0
_shtab_anyecg_evaluate___quiet_nargs=0
_shtab_anyecg_evaluate___json_nargs=0
_shtab_anyecg_lint__h_nargs=0
_shtab_anyecg_lint___help_nargs=0
_shtab_anyecg_lint___json_nargs=0
_shtab_anyecg_micro_package__h_nargs=0
_shtab_anyecg_micro_package___help_nargs=0
_shtab_anyecg_pos_0_nargs=A...
_shtab_anyecg__h_nargs=0
_shtab_anyecg___help_nargs=0


# $1=COMP_WORDS[1]
_shtab_compgen_files() {
  compgen -f -- $1  # files
}

# $1=COMP_WORDS[1]
_shtab_compgen_dirs() {
  compgen -d -- $1  # recurse into subdirs
}

# $1=COMP_WORDS[1]
_shtab_replace_nonword() {
  echo "${1//[^[:word:]]/_}"
}

# set default values (called for the initial parser & any subparsers)
_set_parser_defaults() {
  local subparsers_var="${prefix}_subparsers[@]"
  sub_parsers=${!subparsers_var-}

  local current_option_strings_var="${prefix}_option_strings[@]"
  current_option_strings=${!current_option_strings_var}

  completed_positional_actions=0

  _set_new_action "pos_$completed_positional_actions" true
}

# $1=action identifier
# $2=positional action (bool)
# set all identifiers for an action's parameters
_set_new_action() {
  current_action="${prefix}_$(_shtab_replace_nonword $1)"

  local current_action_compgen_var=${current_action}_COMPGEN
  current_action_compgen="${!current_action_compgen_var-}"

  local current_action_choices_var="${current_action}_choices[@]"
  current_action_choices="${!current_action_choices_var-}"

  local current_action_nargs_var="${current_action}_nargs"
  if [ -n "${!current_action_nargs_var-}" ]; then
    current_action_nargs="${!current_action_nargs_var}"
  else
    current_action_nargs=1
  fi

  current_action_args_start_index=$(( $word_index + 1 - $pos_only ))

  current_action_is_positional=$2
}

# Notes:
# `COMPREPLY`: what will be rendered after completion is triggered
# `completing_word`: currently typed word to generate completions for
# `${!var}`: evaluates the content of `var` and expand its content as a variable
#     hello="world"
#     x="hello"
#     ${!x} -> ${hello} -> "world"
_shtab_anyecg() {
  local completing_word="${COMP_WORDS[COMP_CWORD]}"
  local previous_word="${COMP_WORDS[COMP_CWORD-1]}"
  local completed_positional_actions
  local current_action
  local current_action_args_start_index
  local current_action_choices
  local current_action_compgen
  local current_action_is_positional
  local current_action_nargs
  local current_option_strings
  local sub_parsers
  COMPREPLY=()

  local prefix=_shtab_anyecg
  local word_index=0
  local pos_only=0 # "--" delimiter not encountered yet
  _set_parser_defaults
  word_index=1

  # determine what arguments are appropriate for the current state
  # of the arg parser
  while [ $word_index -ne $COMP_CWORD ]; do
    local this_word="${COMP_WORDS[$word_index]}"

    if [[ $pos_only = 1 || " $this_word " != " -- " ]]; then
      if [[ -n $sub_parsers && " ${sub_parsers[@]} " == *" $this_word "* ]]; then
        # valid subcommand: add it to the prefix & reset the current action
        prefix="${prefix}_$(_shtab_replace_nonword $this_word)"
        _set_parser_defaults
      fi

      if [[ " ${current_option_strings[@]} " == *" $this_word "* ]]; then
        # a new action should be acquired (due to recognised option string or
        # no more input expected from current action);
        # the next positional action can fill in here
        _set_new_action $this_word false
      fi

      if [[ "$current_action_nargs" != "*" ]] && \
         [[ "$current_action_nargs" != "+" ]] && \
         [[ "$current_action_nargs" != "?" ]] && \
         [[ "$current_action_nargs" != *"..." ]] && \
         (( $word_index + 1 - $current_action_args_start_index - $pos_only >= \
            $current_action_nargs )); then
        $current_action_is_positional && let "completed_positional_actions += 1"
        _set_new_action "pos_$completed_positional_actions" true
      fi
    else
      pos_only=1 # "--" delimiter encountered
    fi

    let "word_index+=1"
  done

  # Generate the completions

  COMPREPLY=()
  if [[ $pos_only = 0 && "$completing_word" == -* &&
        ( -z "$current_action_compgen" || "$current_action_is_positional" = true ) ]]; then
    # optional argument started: use option strings
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(
      compgen -W "${current_option_strings[*]}" -- "$completing_word")
  elif [[ "$previous_word" =~ ^[0-9\&]*[\<\>]\>?$ ]]; then
    # handle redirection operators
    compopt -o filenames 2>/dev/null || : # bash>=4
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$completing_word")
  else
    # use choices & compgen
    local action_compgen_word="$completing_word"
    # handle tab-completing in the middle of a line (#248 <- #116)
    [[ -n "$current_action_compgen" && "$completing_word" == -* ]] && action_compgen_word=""
    [ -n "$current_action_compgen" ] && {
      [[ "$current_action_compgen" =~ _(file|dir|glob|FILE|DIR|GLOB)|File|Dir|Glob ]] &&
        compopt -o filenames 2>/dev/null || : # bash>=4
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(
        "$current_action_compgen" "$action_compgen_word")
    }
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(
      compgen -W "${current_action_choices[*]}" -- "$completing_word")
  fi

  if [[ ${#COMPREPLY[@]} = 0 ]]; then
    # native fallback matches are not necessarily filenames (e.g. variables)
    compopt +o filenames 2>/dev/null || : # bash>=4
  fi

  return 0
}


_anyecg() {
  # A URL has colons, at which bash divides words.
  local before="${COMP_LINE:0:COMP_POINT}" token prefix="" candidate
  token="${before##*[[:space:]]}"
  before="${before%"$token"}"
  if [[ ! "$before" =~ --source[[:space:]]+$ ]]; then
    _shtab_anyecg "$@"
    return
  fi
  COMPREPLY=()
  compopt -o nospace 2>/dev/null
  [[ "$COMP_WORDBREAKS" == *:* && "$token" == *:* ]] && prefix="${token%"${token##*:}"}"
  if [[ "$token" == replay:* ]]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r candidate; do
      [[ -z "$prefix" ]] && candidate="replay:$candidate"
      COMPREPLY+=("$candidate")
    done < <(compgen -f -- "${token#replay:}")
    return
  fi
  for candidate in serial: tcp: sim: record: replay: ble:anyecg_patch ble:healthypi5 ble:healthypi_move ble:movesense ble:openbci_ganglion ble:polar_h10; do
    [[ "$candidate" == "$token"* ]] && COMPREPLY+=("${candidate#"$prefix"}")
  done
}
complete -o bashdefault -F _anyecg anyecg
