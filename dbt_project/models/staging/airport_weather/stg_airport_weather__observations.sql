with

source as (

    select * from {{ source('airport_weather', 'observations') }}

),

kept as (

    {{ deduplicated('source', ['origin', 'time_hour']) }}

),

final as (

    select
        origin as airport_code,
        make_date(year::int, month::int, day::int) as observation_date,
        time_hour::timestamptz as observed_at,
        hour::int as local_hour,

        {{ null_if_absent('temp') }}::double precision as temperature_fahrenheit,
        {{ null_if_absent('dewp') }}::double precision as dew_point_fahrenheit,
        {{ null_if_absent('humid') }}::double precision as relative_humidity_percent,
        {{ null_if_absent('wind_dir') }}::int as wind_direction_degrees,
        {{ null_if_absent('wind_speed') }}::double precision as wind_speed_mph,
        {{ null_if_absent('wind_gust') }}::double precision as wind_gust_mph,
        {{ null_if_absent('precip') }}::double precision as precipitation_inches,
        {{ null_if_absent('pressure') }}::double precision as pressure_millibars,
        {{ null_if_absent('visib') }}::double precision as visibility_miles,

        _load_id as load_id,
        _row_number as row_number
    from kept

)

select * from final
